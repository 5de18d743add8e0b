"""A checkpoint's folder, checked before anything of it is loaded."""
