//! integration
fn main(){}
