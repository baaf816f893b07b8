"""Microsoft Entra: from a Plan to a live token."""
