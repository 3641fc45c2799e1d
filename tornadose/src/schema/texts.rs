//! The schemas of the argument and the result of a `receive` hook. An expansion checks the hook, then asks for its types here.

use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::subscriber::hooks::{ByMut, ByRef};

/// A `receive` hook that takes a `T` and returns an `R`.
pub trait ReceiveTypes<S, Of, T, R, How>: Sized {
    /// Returns both types.
    fn types(self) -> (TakenType<T>, ReturnedType<R>);
}

#[diagnostic::do_not_recommend]
impl<S, Of, T, R, F: AsyncFn(&S, T, &Of) -> R> ReceiveTypes<S, Of, T, R, ByRef> for F {
    fn types(self) -> (TakenType<T>, ReturnedType<R>) {
        (TakenType(PhantomData), ReturnedType(PhantomData))
    }
}

#[diagnostic::do_not_recommend]
impl<S, Of, T, R, F: AsyncFn(&mut S, T, &Of) -> R> ReceiveTypes<S, Of, T, R, ByMut> for F {
    fn types(self) -> (TakenType<T>, ReturnedType<R>) {
        (TakenType(PhantomData), ReturnedType(PhantomData))
    }
}

/// The type that a hook takes.
#[derive(Debug)]
pub struct TakenType<T>(PhantomData<fn() -> T>);

impl<T> TakenType<T> {
    /// Returns its schema. The bound is on the method, so that rustc reports a type without a schema by the note of the trait.
    pub fn schema(self, schemas: &mut SchemaGenerator) -> Schema
    where
        T: DescribeText,
    {
        T::describe(schemas)
    }
}

/// The type that a hook returns. An expansion calls `schema` on it: of a `Result` that is the method here, of any other
/// type the method of [`ReturnedText`], because rustc prefers inherent methods.
#[derive(Debug)]
pub struct ReturnedType<R>(PhantomData<fn() -> R>);

impl<T, E> ReturnedType<Result<T, E>> {
    /// Returns the schema of the reply.
    pub fn schema(self, schemas: &mut SchemaGenerator) -> Schema
    where
        T: DescribeText,
    {
        T::describe(schemas)
    }
}

/// See [`ReturnedType`].
pub trait ReturnedText<T>: Sized {
    /// Returns the schema of the reply.
    fn schema(self, schemas: &mut SchemaGenerator) -> Schema
    where
        T: DescribeText,
    {
        T::describe(schemas)
    }
}

impl<T> ReturnedText<T> for ReturnedType<T> {}

/// A type of a text that can be described. Every type that implements `JsonSchema` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `JsonSchema`",
    label = "`schema` describes what this takes and replies with by it",
    note = "put `#[derive(JsonSchema)]` of the crate `schemars` on `{Self}`"
)]
pub trait DescribeText {
    /// Returns its schema.
    fn describe(schemas: &mut SchemaGenerator) -> Schema;
}

#[diagnostic::do_not_recommend]
impl<T: JsonSchema> DescribeText for T {
    fn describe(schemas: &mut SchemaGenerator) -> Schema {
        schemas.subschema_for::<T>()
    }
}
