//! The decision table, row by row, and the rules about grants and holds around it.

mod grants;
mod holds;
mod imported;
mod keyless;
mod rejoin;
mod rows;
mod upgrade;
