"""The Prototypes dock."""
