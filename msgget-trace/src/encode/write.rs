//! Lines go in by way of serde, as values or as objects that are filled member by member; their JSON comes out, byte for byte
//! as serde_json writes it.

mod writer;

use serde::Serialize;
use serde_json::Error;
use writer::Writer;

/// Appends `line` to `out`, as a line of JSON.
pub(super) fn append(line: &impl Serialize, out: &mut Vec<u8>) {
    append_with(out, |out| line.serialize(Writer { out, bare: false }));
}

/// As [`append`], a line that is the object which `members` fills: in less time than `#[serde(flatten)]` would, since what is
/// put into it is still seen as the structure it is.
pub(super) fn append_object(out: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>) -> Written) {
    append_with(out, |out| braced(out, members));
}

fn append_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Written) {
    let start = out.len();
    match write(out) {
        Ok(()) => out.push(b'\n'),
        // Every type here has a form in JSON; still, no half line may stand.
        Err(error) => {
            out.truncate(start);
            log::error!("a line could not be encoded, which is a defect: {error}");
        }
    }
}

fn braced(out: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>) -> Written) -> Written {
    out.push(b'{');
    members(&mut Object(out))?;
    out.push(b'}');
    Ok(())
}

/// Whether a value has a form in JSON; where it has not, that is a defect of its type.
pub(super) type Written = Result<(), Error>;

/// An object that is being written, member by member.
pub(super) struct Object<'a>(&'a mut Vec<u8>);

impl Object<'_> {
    /// Adds the fields of `part`, which is a structure.
    pub(super) fn fields(&mut self, part: &impl Serialize) -> Written {
        part.serialize(Writer { out: self.0, bare: true })
    }

    /// Adds a member.
    #[inline(always)]
    pub(super) fn member(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) -> Written {
        let mut writer = Writer { out: self.0, bare: true };
        writer.name(name);
        value.serialize(writer.part())
    }

    /// Adds a member, if there is a value.
    #[inline(always)]
    pub(super) fn known(&mut self, name: &'static str, value: Option<impl Serialize>) -> Written {
        value.map_or(Ok(()), |value| self.member(name, &value))
    }

    /// Adds a member that is such an object itself.
    pub(super) fn object(&mut self, name: &'static str, members: impl FnOnce(&mut Object<'_>) -> Written) -> Written {
        Writer { out: self.0, bare: true }.name(name);
        braced(self.0, members)
    }
}

#[cfg(test)]
mod tests;
