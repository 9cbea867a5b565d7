# Lets other packages cimport from here.
