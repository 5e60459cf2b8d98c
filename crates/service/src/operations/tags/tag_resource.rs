//! `TagResource`: sets tags. It emits nothing, and the resource's own times stay.

use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(POST "/tags?operation=tag-resource" => 204, NoContent)]
#[errors(BadRequest, ResourceLimitExceeded)]
pub struct TagResource {
    /// What is tagged.
    #[member("ResourceARN")]
    pub resource_arn: ResourceArn,
    /// The tags; one takes the place of another with its key.
    #[length(1, 50)]
    pub tags: Vec<Tag>,
}

impl Write for TagResource {
    fn lane(&self) -> Lane {
        Lane::of(&self.resource_arn)
    }

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        crate::tags::check(Some(&self.tags))?;
        crate::tags::enter(tx, call, &self.resource_arn)?;
        let resource = self.resource_arn.as_str();
        let present = store::tag::list(tx, resource)?;
        let new = self.tags.iter().filter(|tag| present.iter().all(|(key, _)| *key != tag.key));
        if crate::quotas::TAGS_MAX < present.len() + new.count() {
            let most = i64::try_from(crate::quotas::TAGS_MAX).unwrap_or(i64::MAX);
            return Err(Error::limit_exceeded("tags of a resource", most));
        }
        crate::tags::set(tx, resource, Some(&self.tags))?;
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::list_tags_for_resource::ListTagsForResource;
    use super::super::untag_resource::UntagResource;
    use super::*;
    use crate::testing::*;

    fn tag(resource: &str, tags: &[(&str, &str)]) -> TagResource {
        let tags = tags.iter().map(|(key, value)| Tag { key: text(key), value: text(value) }).collect();
        TagResource { resource_arn: text(resource), tags }
    }

    fn listed(world: &mut World, resource: &str) -> Vec<(String, String)> {
        let tags = world.call(&ListTagsForResource { resource_arn: text(resource) }).unwrap().tags;
        tags.into_iter().map(|tag| (tag.key.into_string(), tag.value.into_string())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[engine_test]
    fn tags_of_every_kind_of_resource_are_set_replaced_and_taken_away(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let (instance, flow) = (world.instance().clone(), world.flow());
        world.take_events();
        for resource in [instance.to_string(), ana.to_string(), channel.to_string(), flow.to_string()] {
            assert_eq!(listed(world, &resource), []);
            world.call(&tag(&resource, &[("team", "chat"), ("state", "open")])).unwrap();
            world.call(&tag(&resource, &[("state", "Closed")])).unwrap();
            assert_eq!(listed(world, &resource), pairs(&[("state", "Closed"), ("team", "chat")]));
            let untag =
                UntagResource { resource_arn: text(&resource), tag_keys: vec![text("team"), text("x")] };
            world.call(&untag).unwrap();
            assert_eq!(listed(world, &resource), pairs(&[("state", "Closed")]));
        }
        assert!(world.take_events().is_empty());
    }

    #[engine_test]
    fn what_is_missing_cannot_be_tagged_and_keys_are_ours_to_refuse(world: &mut World) {
        let instance = world.instance().to_string();
        for path in ["/user/nobody", "/bot/nobody", "/channel/nowhere", "/channel-flow/none"] {
            let missing = format!("{instance}{path}");
            let refused = world.call(&tag(&missing, &[("a", "1")])).unwrap_err();
            assert_eq!(refused.code, ErrorCode::Forbidden, "{path}");
            let list = ListTagsForResource { resource_arn: text(&missing) };
            assert_eq!(world.call(&list).unwrap_err().code, ErrorCode::Forbidden, "{path}");
            let untag = UntagResource { resource_arn: text(&missing), tag_keys: vec![text("a")] };
            assert_eq!(world.call(&untag).unwrap_err().code, ErrorCode::Forbidden, "{path}");
        }
        for bad in [&[("a", "1"), ("a", "2")][..], &[("aws:a", "1")], &[]] {
            assert_eq!(world.call(&tag(&instance, bad)).unwrap_err().code, ErrorCode::BadRequest);
        }
    }

    #[engine_test]
    fn a_resource_has_fifty_tags_at_most(world: &mut World) {
        let instance = world.instance().to_string();
        let keys: Vec<String> = (0..50).map(|number| format!("key-{number}")).collect();
        let all: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "1")).collect();
        world.call(&tag(&instance, &all)).unwrap();
        world.call(&tag(&instance, &all[..3])).unwrap();
        let refused = world.call(&tag(&instance, &[("one-more", "1")])).unwrap_err();
        assert_eq!(refused.code, ErrorCode::ResourceLimitExceeded);
    }

    #[engine_test]
    fn of_two_nodes_each_counts_the_tags_of_the_other(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        for resource in [ana.to_string(), channel.to_string()] {
            let keys: Vec<String> = (0..64).map(|number| format!("key-{number}")).collect();
            let all: Vec<_> = keys.iter().map(|key| tag(&resource, &[(key.as_str(), "1")])).collect();
            let answers = world.call_at_once(&all);
            assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 50, "{resource}");
            assert_eq!(listed(world, &resource).len(), 50);
        }
    }
}
