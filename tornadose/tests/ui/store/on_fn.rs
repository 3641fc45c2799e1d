use tornadose::prelude::*;

#[store(latest)]
pub async fn tick() {}

fn main() {}
