"""The pages: one module each, with a function `page`. No logic: what they show comes from the Python API."""
