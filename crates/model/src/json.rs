//! JSON, byte for byte as `serde_json` writes it, but for how texts are looked through: in whole chunks, of which
//! nearly none holds anything that must be escaped. Texts are most of what is written, and looking at each of their
//! bytes was what a list of messages cost most.

use std::fmt;

use serde::Serialize;
use serde::ser::{
    Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, Serializer,
};
use serde_json::Error;

/// How many bytes of a text are looked at together.
const CHUNK: usize = 32;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The JSON of a value. An error says that it has a key which is no text, or that it refuses to be written.
pub fn to_vec(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut writer = Writer(Vec::with_capacity(512));
    value.serialize(&mut writer)?;
    Ok(writer.0)
}

/// The same as a text.
pub fn to_string(value: &impl Serialize) -> Result<String, Error> {
    Ok(String::from_utf8(to_vec(value)?).expect("what is made of texts is text"))
}

struct Writer(Vec<u8>);

impl Writer {
    fn display(&mut self, number: impl fmt::Display) {
        use std::io::Write as _;
        write!(self.0, "{number}").expect("memory takes all that is written");
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'"');
        let mut rest = text.as_bytes();
        loop {
            let plain = CHUNK * rest.chunks_exact(CHUNK).take_while(|chunk| is_plain(chunk)).count();
            let (run, after) = rest.split_at(plain);
            self.0.extend_from_slice(run);
            let (next, after) = after.split_at(after.len().min(CHUNK));
            if next.is_empty() {
                break;
            }
            if is_plain(next) {
                self.0.extend_from_slice(next);
            } else {
                for byte in next {
                    self.byte(*byte);
                }
            }
            rest = after;
        }
        self.0.push(b'"');
    }

    /// One byte of a text.
    fn byte(&mut self, byte: u8) {
        let escaped = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..0x20 => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                return self.0.extend_from_slice(&[b'\\', b'u', b'0', b'0', DIGITS[high], DIGITS[low]]);
            }
            _ => return self.0.push(byte),
        };
        self.0.extend_from_slice(&[b'\\', escaped]);
    }

    /// A name and what stands behind it.
    fn member(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.separate(b'{');
        self.text(name);
        self.0.push(b':');
        value.serialize(&mut *self)
    }

    /// A comma, except where something has just begun.
    fn separate(&mut self, begun: u8) {
        if self.0.last() != Some(&begun) {
            self.0.push(b',');
        }
    }
}

/// Whether nothing of a text must be escaped. No branch stands in it, so that a processor does many bytes at once.
fn is_plain(bytes: &[u8]) -> bool {
    let found = bytes.iter().fold(0, |found, byte| {
        found | u8::from(*byte < 0x20) | u8::from(*byte == b'"') | u8::from(*byte == b'\\')
    });
    found == 0
}

macro_rules! numbers {
    ($($name:ident: $of:ty),*) => {$(
        fn $name(self, number: $of) -> Result<(), Error> {
            self.display(number);
            Ok(())
        }
    )*};
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Inner<'a>;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_bool: bool
    );

    fn serialize_f32(self, number: f32) -> Result<(), Error> {
        serde_json::to_writer(&mut self.0, &number)
    }

    fn serialize_f64(self, number: f64) -> Result<(), Error> {
        serde_json::to_writer(&mut self.0, &number)
    }

    fn serialize_char(self, letter: char) -> Result<(), Error> {
        self.text(letter.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        self.text(text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Error> {
        self.collect_seq(bytes)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.0.push(b'{');
        self.member(variant, value)?;
        self.0.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Error> {
        self.0.push(b'[');
        Ok(self)
    }

    fn serialize_tuple(self, length: usize) -> Result<Self, Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Self, Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Error>, Error> {
        Err(custom("a variant of several values without names"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Error> {
        self.0.push(b'{');
        Ok(self)
    }

    fn serialize_struct(self, name: &'static str, length: usize) -> Result<Self, Error> {
        if name.starts_with('$') {
            return Err(custom("a value that only serde_json knows"));
        }
        self.serialize_map(Some(length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inner<'a>, Error> {
        self.0.push(b'{');
        self.text(variant);
        self.0.extend_from_slice(b":{");
        Ok(Inner(self))
    }
}

fn custom(words: &str) -> Error {
    serde::ser::Error::custom(words)
}

macro_rules! items {
    ($($of:ident: $add:ident),*) => {$(
        impl $of for &mut Writer {
            type Ok = ();
            type Error = Error;

            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.separate(b'[');
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Error> {
                self.0.push(b']');
                Ok(())
            }
        }
    )*};
}

items!(SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field);

impl SerializeStruct for &mut Writer {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.member(name, value)
    }

    fn end(self) -> Result<(), Error> {
        self.0.push(b'}');
        Ok(())
    }
}

impl SerializeMap for &mut Writer {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.separate(b'{');
        let begun = self.0.len();
        key.serialize(&mut **self)?;
        if self.0.get(begun) == Some(&b'"') { Ok(()) } else { Err(custom("a key must be a text")) }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.0.push(b':');
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Error> {
        self.0.push(b'}');
        Ok(())
    }
}

/// The members of a variant, which stands in an object of its own.
struct Inner<'a>(&'a mut Writer);

impl SerializeStructVariant for Inner<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.0.member(name, value)
    }

    fn end(self) -> Result<(), Error> {
        self.0.0.extend_from_slice(b"}}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    enum Choice {
        Unit,
        One(i64),
        Named { key: Option<u8>, list: Vec<(u8, String)> },
    }

    #[derive(Serialize)]
    struct Whole<'a> {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        left_out: Option<()>,
        choices: [Choice; 3],
        numbers: (f64, f64, i64, u64, bool, char),
        map: BTreeMap<&'a str, Option<()>>,
        empty: (Vec<u8>, BTreeMap<String, u8>),
    }

    #[test]
    fn it_is_what_serde_json_writes() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        let texts = [
            "",
            "plain",
            "\"",
            "🛎 bells",
            &all,
            &"x".repeat(31),
            &("x".repeat(32) + "\n"),
            &"é\\".repeat(40),
        ];
        for text in texts {
            let whole = Whole {
                text,
                left_out: None,
                choices: [
                    Choice::Unit,
                    Choice::One(-1),
                    Choice::Named { key: Some(7), list: vec![(1, text.to_owned()), (2, String::new())] },
                ],
                numbers: (1_768_478_403.07, -0.0, i64::MIN, u64::MAX, true, '"'),
                map: BTreeMap::from([("a", None), (text, Some(()))]),
                empty: (Vec::new(), BTreeMap::new()),
            };
            assert_eq!(to_string(&whole).unwrap(), serde_json::to_string(&whole).unwrap());
        }
    }

    #[test]
    fn whatever_stands_wherever_in_a_text_is_escaped() {
        for length in 0..100 {
            for at in 0..length {
                for byte in [0, 0x1f, b'"', b'\\', 0x7f] {
                    let mut text = vec![b'x'; length];
                    text[at] = byte;
                    let text = String::from_utf8(text).unwrap();
                    assert_eq!(to_string(&text).unwrap(), serde_json::to_string(&text).unwrap());
                }
            }
        }
    }

    #[test]
    fn a_key_that_is_no_text_is_refused() {
        assert!(to_vec(&BTreeMap::from([(1, 2)])).is_err());
        assert!(to_vec(&serde_json::value::RawValue::from_string("1".to_owned()).unwrap()).is_err());
    }
}
