//! The condition keys that requests bring to a decision here.
//!
//! A condition on a key that never comes is a mistake that nobody sees: a denial by it never bites. So a policy that
//! reads another key of these services is refused when it is stored, and named in the log where it is there already.
//! Keys of other services, as those of identity providers, are whatever the other side says.

/// The services whose keys are all known.
const SERVICES: [&str; 4] = ["aws", "chime", "iam", "sts"];

/// The keys, in small letters, because case does not matter in them. One that ends with `/` is followed by a tag's key.
const KEYS: &[&str] = &[
    "aws:currenttime",
    "aws:epochtime",
    "aws:federatedprovider",
    "aws:multifactorauthpresent",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principaltag/",
    "aws:principaltype",
    "aws:referer",
    "aws:requestedregion",
    "aws:requesttag/",
    "aws:resourceaccount",
    "aws:resourcetag/",
    "aws:securetransport",
    "aws:sourceidentity",
    "aws:sourceip",
    "aws:tagkeys",
    "aws:tokenissuetime",
    "aws:useragent",
    "aws:userid",
    "aws:username",
    "aws:viaawsservice",
    "iam:permissionsboundary",
    "iam:policyarn",
    "iam:resourcetag/",
    "sts:externalid",
    "sts:rolesessionname",
    "sts:sourceidentity",
    "sts:transitivetagkeys",
];

/// Whether requests may bring this key.
pub(crate) fn is_known(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let service = key.split(':').next().unwrap_or_default();
    if !SERVICES.contains(&service) {
        return true;
    }
    let matches = |known: &&str| match known.strip_suffix('/') {
        Some(_) => key.len() > known.len() && key.starts_with(*known),
        None => key == **known,
    };
    KEYS.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_requests_bring_is_known_and_nothing_else_of_these_services() {
        for known in [
            "aws:SecureTransport",
            "AWS:securetransport",
            "aws:PrincipalTag/UserUUID",
            "iam:PolicyARN",
            "sts:ExternalId",
            "cognito-identity.amazonaws.com:sub",
            "127.0.0.1:8080:aud",
        ] {
            assert!(is_known(known), "{known}");
        }
        for unknown in [
            "aws:SecureTransprot",
            "aws:PrincipalTag/",
            "aws:PrincipalOrgID",
            "chime:Bearer",
            "sts:x",
            "aws:",
        ] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
