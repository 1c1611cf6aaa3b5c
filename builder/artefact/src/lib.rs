//! What is handed out of an image.
