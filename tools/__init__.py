"""What is made of the notebooks: slide tags in them, slides, the book, copies to open online, a set for students."""
