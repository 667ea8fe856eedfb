"""Why a place has its class, what the prototypes are, and where to look next."""
