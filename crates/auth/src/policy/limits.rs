//! How large a policy may be.
//!
//! Only [`DOCUMENT_BYTES_MAX`] is enforced here; the others depend on what the document is for, so whoever
//! keeps documents compares them with [`characters`] or, for session policies, with the text as it is.

/// Bytes of any document that is looked at: the bound of the parameter in the interface of IAM.
pub const DOCUMENT_BYTES_MAX: usize = 131_072;
/// Characters of a managed policy without its white space, as AWS has it.
pub const MANAGED_CHARACTERS_MAX: usize = 6_144;
/// Characters of all inline policies of a user together, without white space, as AWS has it.
pub const USER_INLINE_CHARACTERS_MAX: usize = 2_048;
/// Characters of all inline policies of a role together, without white space, as AWS has it.
pub const ROLE_INLINE_CHARACTERS_MAX: usize = 10_240;
/// Characters of a session policy, white space included, as AWS has it.
pub const SESSION_CHARACTERS_MAX: usize = 2_048;
/// Characters of a role's trust policy without white space; AWS begins at 2,048 and grants up to this.
pub const TRUST_CHARACTERS_MAX: usize = 8_192;

/// The size that AWS counts: characters without white space.
pub fn characters(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}
