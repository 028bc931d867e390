"""What is made of the notebooks: badges and slide tags in them, slides from them, a set for students."""
