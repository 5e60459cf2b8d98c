//! `PutMessagingStreamingConfigurations`: says where the events of an app instance are streamed to. It replaces what
//! was said before, and nothing that happened earlier is streamed.
//!
//! The service `chime` had this operation first, under other names. Its clients call the same path and still send
//! them, so they are read.

use crate::prelude::*;

/// The request.
#[operation(PUT "/app-instances/{appInstanceArn}/streaming-configurations" => 200, Put)]
#[errors(BadRequest, Conflict, NotFound)]
pub struct PutMessagingStreamingConfigurations {
    /// Where.
    #[label]
    pub app_instance_arn: AppInstanceArn,
    /// A stream for each type of data.
    #[length(1, 2)]
    #[former("AppInstanceStreamingConfigurations")]
    pub streaming_configurations: Vec<StreamingConfiguration>,
}

/// The answer.
#[shape]
pub struct Put {
    /// As they are from now on.
    #[length(1, 2)]
    pub streaming_configurations: Vec<StreamingConfiguration>,
}

/// How the name of every stream of messaging begins.
const STREAM_NAME_START: &str = "chime-messaging-";

impl Write for PutMessagingStreamingConfigurations {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Put> {
        if let [one, other] = &self.streaming_configurations[..]
            && one.data_type == other.data_type
        {
            return Err(Error::bad_request("StreamingConfigurations: a DataType may be given only once"));
        }
        for configuration in &self.streaming_configurations {
            check_stream(call, &configuration.resource_arn)?;
        }
        let missing = || Error::not_found("AppInstanceArn: the app instance does not exist");
        let instance = self.app_instance_arn.key().ok_or_else(missing)?;
        if !store::app_instance::exists(tx, instance)? {
            return Err(missing());
        }
        store::app_instance::hold(tx, instance)?;
        let all = self.streaming_configurations.iter();
        let all: Vec<_> = all.map(|one| (one.data_type, one.resource_arn.clone())).collect();
        store::streaming::replace(tx, instance, &all)?;
        Ok(Put { streaming_configurations: self.streaming_configurations.clone() })
    }
}

/// Refuses what is not a stream of this account and region with the name that messaging streams have.
fn check_stream(call: &Call, arn: &AnyArn) -> Result<()> {
    let home = &call.surroundings.home;
    let start = format!("arn:aws:kinesis:{}:{}:stream/", home.region(), home.account());
    let Some(name) = arn.as_str().strip_prefix(&start) else {
        return Err(Error::bad_request(
            "ResourceArn: must be a stream of the app instance's account and region",
        ));
    };
    if !name.starts_with(STREAM_NAME_START) {
        return Err(Error::bad_request(format!(
            "ResourceArn: the name of the stream must begin with {STREAM_NAME_START}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::delete_messaging_streaming_configurations::DeleteMessagingStreamingConfigurations;
    use super::super::get_messaging_streaming_configurations::GetMessagingStreamingConfigurations;
    use super::*;
    use crate::testing::*;

    const STREAM: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/chime-messaging-all";

    fn configuration(data_type: MessagingDataType, stream: &str) -> StreamingConfiguration {
        StreamingConfiguration { data_type, resource_arn: text(stream) }
    }

    fn put(
        instance: &AppInstanceArn,
        configurations: &[StreamingConfiguration],
    ) -> PutMessagingStreamingConfigurations {
        PutMessagingStreamingConfigurations {
            app_instance_arn: instance.clone(),
            streaming_configurations: configurations.to_vec(),
        }
    }

    /// The records that wait, by what they say happened.
    fn records(world: &mut World) -> Vec<String> {
        world.step(|tx, _| {
            let mut kinds = Vec::new();
            for line in store::outgoing::list_lines(tx)? {
                for row in store::outgoing::list(tx, &line, store::outgoing::Place::FIRST, 100)? {
                    let record: serde_json::Value = serde_json::from_str(&row.body).unwrap();
                    kinds.push(record["EventType"].as_str().unwrap().to_owned());
                }
            }
            Ok(kinds)
        })
    }

    #[engine_test]
    fn what_happens_is_recorded_where_there_is_a_stream_for_it_and_nowhere_else(world: &mut World) {
        let (instance, ana, bob) = (world.instance().clone(), world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.send(&channel, &ana, "before");
        assert!(records(world).is_empty());
        let messages = configuration(MessagingDataType::ChannelMessage, STREAM);
        world.call(&put(&instance, std::slice::from_ref(&messages))).unwrap();
        world.ban(&channel, &ana, &bob);
        world.send(&channel, &ana, "after");
        assert_eq!(records(world), ["CREATE_CHANNEL_MESSAGE"]);
        world.call(&put(&instance, &[configuration(MessagingDataType::Channel, STREAM)])).unwrap();
        world.take_events();
        world.send(&channel, &ana, "not recorded");
        let cy = world.user("cy");
        world.ban(&channel, &ana, &cy);
        assert_eq!(world.take_events(), ["CREATE_CHANNEL_MESSAGE"], "no socket is told of a ban");
        assert_eq!(records(world), ["CREATE_CHANNEL_MESSAGE", "CREATE_CHANNEL_BAN"]);
        world.call(&DeleteMessagingStreamingConfigurations { app_instance_arn: instance }).unwrap();
        let dora = world.user("dora");
        world.ban(&channel, &ana, &dora);
        assert_eq!(records(world).len(), 2);
    }

    #[engine_test]
    fn what_is_put_replaces_what_was_there_until_it_is_deleted(world: &mut World) {
        let instance = world.instance().clone();
        let get = GetMessagingStreamingConfigurations { app_instance_arn: instance.clone() };
        assert!(world.call(&get).unwrap().streaming_configurations.is_empty());
        let both = [
            configuration(MessagingDataType::ChannelMessage, STREAM),
            configuration(MessagingDataType::Channel, STREAM),
        ];
        assert_eq!(world.call(&put(&instance, &both)).unwrap().streaming_configurations, both);
        assert_eq!(world.call(&get).unwrap().streaming_configurations, [both[1].clone(), both[0].clone()]);
        let one = [configuration(MessagingDataType::Channel, &format!("{STREAM}-others"))];
        world.call(&put(&instance, &one)).unwrap();
        assert_eq!(world.call(&get).unwrap().streaming_configurations, one);
        let elsewhere = GetMessagingStreamingConfigurations { app_instance_arn: world.new_instance() };
        assert!(world.call(&elsewhere).unwrap().streaming_configurations.is_empty());
        let delete = DeleteMessagingStreamingConfigurations { app_instance_arn: instance };
        world.call(&delete).unwrap();
        assert!(world.call(&get).unwrap().streaming_configurations.is_empty());
        assert!(world.call(&delete).is_ok(), "nothing is left to delete");
    }

    #[engine_test]
    fn the_names_of_the_former_interface_are_read(world: &mut World) {
        let instance = world.instance().clone();
        let path = put(&instance, &[]).encode().path;
        for (list, kind) in [
            ("AppInstanceStreamingConfigurations", "AppInstanceDataType"),
            ("StreamingConfigurations", "DataType"),
        ] {
            let body = serde_json::json!({ list: [{ kind: "ChannelMessage", "ResourceArn": STREAM }] });
            let (status, _) = world.raw("PUT", &path, body.to_string().as_bytes());
            assert_eq!(status, 200, "{list}");
            let get = GetMessagingStreamingConfigurations { app_instance_arn: instance.clone() };
            let one = [configuration(MessagingDataType::ChannelMessage, STREAM)];
            assert_eq!(world.call(&get).unwrap().streaming_configurations, one);
            world
                .call(&DeleteMessagingStreamingConfigurations { app_instance_arn: instance.clone() })
                .unwrap();
        }
        let both = serde_json::json!({
            "StreamingConfigurations": [{ "DataType": "Channel", "ResourceArn": STREAM }],
            "AppInstanceStreamingConfigurations": [{ "AppInstanceDataType": "Channel", "ResourceArn": STREAM }],
        });
        assert_eq!(world.raw("PUT", &path, both.to_string().as_bytes()).0, 400, "one of the two");
    }

    #[engine_test]
    fn a_stream_is_of_this_account_and_region_and_named_as_one_of_messaging(world: &mut World) {
        let instance = world.instance().clone();
        for bad in [
            "arn:aws:kinesis:eu-west-1:111122223333:stream/chime-messaging-all",
            "arn:aws:kinesis:us-east-1:999900001111:stream/chime-messaging-all",
            "arn:aws:kinesis:us-east-1:111122223333:stream/all",
            "arn:aws:firehose:us-east-1:111122223333:deliverystream/chime-messaging-all",
        ] {
            let refused = world.call(&put(&instance, &[configuration(MessagingDataType::Channel, bad)]));
            assert_eq!(refused.unwrap_err().code, ErrorCode::BadRequest, "{bad}");
        }
        let twice = configuration(MessagingDataType::Channel, STREAM);
        let refused = world.call(&put(&instance, &[twice.clone(), twice]));
        assert_eq!(refused.unwrap_err().code, ErrorCode::BadRequest);
    }

    #[engine_test]
    fn an_app_instance_that_is_not_there_is_not_found_but_for_deletion(world: &mut World) {
        let missing: AppInstanceArn =
            text(&format!("{}0", &world.instance().as_str()[..world.instance().as_str().len() - 1]));
        let one = [configuration(MessagingDataType::Channel, STREAM)];
        assert_eq!(world.call(&put(&missing, &one)).unwrap_err().code, ErrorCode::NotFound);
        let get = GetMessagingStreamingConfigurations { app_instance_arn: missing.clone() };
        assert_eq!(world.call(&get).unwrap_err().code, ErrorCode::NotFound);
        let delete = DeleteMessagingStreamingConfigurations { app_instance_arn: missing };
        assert_eq!(world.call(&delete).unwrap_err().code, ErrorCode::Forbidden);
    }
}
