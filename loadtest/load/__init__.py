"""`tongbao load`: how fast and how late, from the compiled generator, as figures, pictures and files to compare."""
