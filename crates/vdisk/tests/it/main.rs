//! Black-box tests of the image formats: through the public doors alone.

mod convert;
mod corpus;
mod crash;
mod hostile;
mod images;
mod operations;
mod random;
mod vhd;
