"""What a user may say: pydantic models with units, one file a noun."""
