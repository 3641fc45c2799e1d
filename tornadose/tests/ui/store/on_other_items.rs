use tornadose::prelude::*;

#[store(latest)]
mod ticks {}

#[store(latest)]
trait Tick {}

#[store(latest)]
type Number = f64;

#[store(latest)]
const ONE: f64 = 1.0;

#[store(latest)]
const fn one() {}

fn main() {}
