//! A serializer that separates the name of an enum's variant from its content.
//! [`Event::json`](crate::event::Event::json) uses it.

use serde::ser::{self, Serialize};

use crate::event::error::EncodeError;

pub(super) type Json<'a> = serde_json::Serializer<&'a mut Vec<u8>>;

/// Writes a value's JSON, or only the content of a variant, and returns the variant's name.
pub(super) struct VariantSerializer<'a, 'b>(pub(super) &'a mut Json<'b>);

/// The content of a variant with several fields. At its end it returns the variant's name.
pub(super) struct Content<C> {
    json: C,
    variant: &'static str,
}

macro_rules! unnamed {
    ($($method:ident($($value:ident: $type:ty)?);)*) => {$(
        fn $method(self $(, $value: $type)?) -> Result<Self::Ok, EncodeError> {
            self.0.$method($($value)?)?;
            Ok(None)
        }
    )*};
}

impl<'a, 'b> ser::Serializer for VariantSerializer<'a, 'b> {
    type Ok = Option<&'static str>;
    type Error = EncodeError;
    type SerializeSeq = Unnamed<<&'a mut Json<'b> as ser::Serializer>::SerializeSeq>;
    type SerializeTuple = Unnamed<<&'a mut Json<'b> as ser::Serializer>::SerializeTuple>;
    type SerializeTupleStruct = Unnamed<<&'a mut Json<'b> as ser::Serializer>::SerializeTupleStruct>;
    type SerializeTupleVariant = Content<<&'a mut Json<'b> as ser::Serializer>::SerializeTuple>;
    type SerializeMap = Unnamed<<&'a mut Json<'b> as ser::Serializer>::SerializeMap>;
    type SerializeStruct = Unnamed<<&'a mut Json<'b> as ser::Serializer>::SerializeStruct>;
    type SerializeStructVariant = Content<<&'a mut Json<'b> as ser::Serializer>::SerializeStruct>;

    unnamed! {
        serialize_bool(v: bool); serialize_i8(v: i8); serialize_i16(v: i16); serialize_i32(v: i32); serialize_i64(v: i64);
        serialize_i128(v: i128); serialize_u8(v: u8); serialize_u16(v: u16); serialize_u32(v: u32); serialize_u64(v: u64);
        serialize_u128(v: u128); serialize_f32(v: f32); serialize_f64(v: f64); serialize_char(v: char); serialize_str(v: &str);
        serialize_bytes(v: &[u8]); serialize_none(); serialize_unit(); serialize_unit_struct(name: &'static str);
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, EncodeError> {
        self.0.serialize_some(value)?;
        Ok(None)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Self::Ok, EncodeError> {
        self.0.serialize_newtype_struct(name, value)?;
        Ok(None)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Self::Ok, EncodeError> {
        self.0.serialize_unit()?;
        Ok(Some(variant))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Self::Ok, EncodeError> {
        value.serialize(self.0)?;
        Ok(Some(variant))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
        Ok(Unnamed(self.0.serialize_seq(len)?))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, EncodeError> {
        Ok(Unnamed(self.0.serialize_tuple(len)?))
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, EncodeError> {
        Ok(Unnamed(self.0.serialize_tuple_struct(name, len)?))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        Ok(Content { json: self.0.serialize_tuple(len)?, variant })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        Ok(Unnamed(self.0.serialize_map(len)?))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, EncodeError> {
        Ok(Unnamed(self.0.serialize_struct(name, len)?))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        Ok(Content { json: self.0.serialize_struct(name, len)?, variant })
    }
}

/// A sequence, map or struct that is not the content of a variant.
pub(super) struct Unnamed<C>(C);

macro_rules! forward {
    ($trait:ident, $method:ident) => {
        impl<C: ser::$trait<Ok = (), Error = serde_json::Error>> ser::$trait for Unnamed<C> {
            type Ok = Option<&'static str>;
            type Error = EncodeError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                Ok(self.0.$method(value)?)
            }
            fn end(self) -> Result<Self::Ok, EncodeError> {
                self.0.end()?;
                Ok(None)
            }
        }
    };
}
forward!(SerializeSeq, serialize_element);
forward!(SerializeTuple, serialize_element);
forward!(SerializeTupleStruct, serialize_field);

impl<C: ser::SerializeMap<Ok = (), Error = serde_json::Error>> ser::SerializeMap for Unnamed<C> {
    type Ok = Option<&'static str>;
    type Error = EncodeError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        Ok(self.0.serialize_key(key)?)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        Ok(self.0.serialize_value(value)?)
    }
    fn end(self) -> Result<Self::Ok, EncodeError> {
        self.0.end()?;
        Ok(None)
    }
}

impl<C: ser::SerializeStruct<Ok = (), Error = serde_json::Error>> ser::SerializeStruct for Unnamed<C> {
    type Ok = Option<&'static str>;
    type Error = EncodeError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        Ok(self.0.serialize_field(key, value)?)
    }
    fn end(self) -> Result<Self::Ok, EncodeError> {
        self.0.end()?;
        Ok(None)
    }
}

impl<C: ser::SerializeTuple<Ok = (), Error = serde_json::Error>> ser::SerializeTupleVariant for Content<C> {
    type Ok = Option<&'static str>;
    type Error = EncodeError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        Ok(self.json.serialize_element(value)?)
    }
    fn end(self) -> Result<Self::Ok, EncodeError> {
        self.json.end()?;
        Ok(Some(self.variant))
    }
}

impl<C: ser::SerializeStruct<Ok = (), Error = serde_json::Error>> ser::SerializeStructVariant for Content<C> {
    type Ok = Option<&'static str>;
    type Error = EncodeError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        Ok(self.json.serialize_field(key, value)?)
    }
    fn end(self) -> Result<Self::Ok, EncodeError> {
        self.json.end()?;
        Ok(Some(self.variant))
    }
}
