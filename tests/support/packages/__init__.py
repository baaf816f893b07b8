"""What compares other packages on Django's engine and on this one: see tests/packages."""
