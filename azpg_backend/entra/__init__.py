"""Microsoft Entra: from a Plan to a user name and a live token."""
