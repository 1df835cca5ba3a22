//! An unmodified Portage running `emerge --fetchonly` through the program.
