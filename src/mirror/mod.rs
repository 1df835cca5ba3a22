//! What is known of each mirror: figures, ranking, and the file that keeps them.
