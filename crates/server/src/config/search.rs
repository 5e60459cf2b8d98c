//! `[search]`: in which app instances messages can be searched. An index costs room and work, so a server in earnest
//! has none where nothing is written; one to develop with has all.

use std::collections::BTreeSet;

use carillon_model::AppInstanceArn;
use carillon_model::arn::Home;
use carillon_service::search::Searched;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The table, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Search {
    /// `all`, `none`, or a list of ARNs.
    app_instances: Option<Where>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
enum Where {
    Word(String),
    These(Vec<String>),
}

impl Search {
    /// What it means; where nothing is written, this.
    pub(super) fn read(&self, home: &Home, default: Searched) -> Result<Searched> {
        match &self.app_instances {
            None => Ok(default),
            Some(Where::Word(word)) if word == "all" => Ok(Searched::All),
            Some(Where::Word(word)) if word == "none" => Ok(Searched::None),
            Some(Where::Word(word)) => Err(Error::usage(format!("search.app_instances is {word}"))
                .hint("It is all, none, or a list of ARNs of app instances.")),
            Some(Where::These(arns)) => {
                let keys: Result<BTreeSet<_>> = arns.iter().map(|arn| key(arn, home)).collect();
                Ok(Searched::These(keys?))
            }
        }
    }
}

fn key(text: &str, home: &Home) -> Result<carillon_model::Key> {
    let arn = AppInstanceArn::try_from(text.to_owned()).ok();
    let arn = arn.filter(|arn| home.owns(arn.as_str()));
    arn.and_then(|arn| arn.key()).ok_or_else(|| {
        Error::usage(format!(
            "search.app_instances has {text}, which is no app instance of this region and account"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Searched> {
        let home = Home::new("us-east-1", "000000000000");
        toml::from_str::<Search>(text).unwrap().read(&home, Searched::None)
    }

    #[test]
    fn all_none_or_some() {
        let arn = "arn:aws:chime:us-east-1:000000000000:app-instance/00000000-0000-4000-8000-000000000001";
        let key = AppInstanceArn::try_from(arn.to_owned()).unwrap().key().unwrap();
        assert_eq!(read("").unwrap(), Searched::None);
        assert_eq!(read("app_instances = 'all'").unwrap(), Searched::All);
        assert_eq!(read("app_instances = 'none'").unwrap(), Searched::None);
        let some = read(&format!("app_instances = ['{arn}']")).unwrap();
        assert_eq!(some, Searched::These(BTreeSet::from([key])));
        assert!(read("app_instances = 'some'").is_err());
        assert!(read("app_instances = ['lobby']").is_err());
        assert!(read(&format!("app_instances = ['{}']", arn.replace("us-east-1", "eu-west-1"))).is_err());
    }
}
