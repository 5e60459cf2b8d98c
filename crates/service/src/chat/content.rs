//! What a message may say: the limits that hang on its type and on settings, for a new one, an edit, and a processor's
//! answer.

use carillon_model::message::{ATTRIBUTES_BYTES_MAX, CONTROL_CONTENT_BYTES_MAX};

use crate::prelude::*;

/// Refuses content that is too large for its type, and metadata on a CONTROL message.
pub(crate) fn check(
    call: &Call,
    kind: ChannelMessageType,
    content: &str,
    metadata: Option<&MessageMetadata>,
) -> Result<()> {
    let quotas = &call.surroundings.quotas;
    let most = match kind {
        ChannelMessageType::Standard => quotas.content_bytes_max,
        ChannelMessageType::Control => CONTROL_CONTENT_BYTES_MAX,
    };
    let length = content.len();
    if most < length {
        return Err(Error::bad_request(format!(
            "Content: channel message size limit exceeded, must have at most {most} bytes, not {length}"
        )));
    }
    let (most, length) = (quotas.metadata_bytes_max, metadata.map_or(0, |metadata| metadata.as_str().len()));
    if most < length {
        return Err(Error::bad_request(format!("Metadata: must have at most {most} bytes, not {length}")));
    }
    if kind == ChannelMessageType::Control && shown(metadata.cloned()).is_some() {
        return Err(Error::bad_request("Metadata: must be absent from a CONTROL message"));
    }
    Ok(())
}

/// Refuses attributes that are too large together.
pub(crate) fn check_attributes(attributes: Option<&MessageAttributeMap>) -> Result<()> {
    let length: usize = attributes
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            let values = value.string_values.iter().flatten();
            key.as_str().len() + values.map(|value| value.as_str().len()).sum::<usize>()
        })
        .sum();
    if ATTRIBUTES_BYTES_MAX < length {
        return Err(Error::bad_request(format!(
            "MessageAttributes: must have at most {ATTRIBUTES_BYTES_MAX} bytes in all, not {length}"
        )));
    }
    Ok(())
}
