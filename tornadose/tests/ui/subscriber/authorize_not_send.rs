use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, store = Tick, authorize = Self::allowed)]
struct Ticks;

impl Ticks {
    async fn allowed(&self) -> Result<(), StatusError> {
        let name = std::rc::Rc::new("ada");
        std::future::ready(()).await;
        drop(name);
        Ok(())
    }
}

fn main() {}
