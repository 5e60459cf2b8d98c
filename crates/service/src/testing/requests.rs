//! Requests with the members that most tests leave as they are.

use carillon_model::text::*;
use carillon_model::{ChannelArn, ChannelFlowArn, IdentityArn};

use super::{World, text};
use crate::operations::identity::create_app_instance_bot::CreateAppInstanceBot;
use crate::operations::identity::register_app_instance_user_endpoint::RegisterAppInstanceUserEndpoint;
use crate::operations::messaging::associate_channel_flow::AssociateChannelFlow;
use crate::operations::messaging::create_channel::CreateChannel;
use crate::operations::messaging::create_channel_flow::CreateChannelFlow;
use crate::operations::messaging::disassociate_channel_flow::DisassociateChannelFlow;
use crate::operations::messaging::list_channel_messages::ListChannelMessages;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::shapes::{
    Configuration, ElasticChannelConfiguration, EndpointAttributes, LambdaConfiguration, LexConfiguration,
    Processor, ProcessorConfiguration,
};

/// A bot with this name, which a program of the account speaks for.
pub(crate) fn bot_request(world: &World, name: &str) -> CreateAppInstanceBot {
    let lex = LexConfiguration {
        responds_to: None,
        invoked_by: None,
        lex_bot_alias_arn: text("arn:aws:lex:us-east-1:111122223333:bot-alias/ABCDE12345/TSTALIASID"),
        locale_id: text("en_US"),
        welcome_intent: None,
    };
    CreateAppInstanceBot {
        app_instance_arn: world.instance().clone(),
        name: Some(text(name)),
        metadata: None,
        client_request_token: text("bot"),
        tags: None,
        configuration: Configuration { lex },
    }
}

/// A phone of this user, known by this token, which is also the request's.
pub(crate) fn endpoint_request(who: &IdentityArn, token: &str) -> RegisterAppInstanceUserEndpoint {
    let resource = "arn:aws:mobiletargeting:us-east-1:111122223333:apps/0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    RegisterAppInstanceUserEndpoint {
        app_instance_user_arn: who.clone(),
        name: Some(text("Phone")),
        kind: EndpointType::Apns,
        resource_arn: text(resource),
        endpoint_attributes: EndpointAttributes { device_token: text(token), voip_device_token: None },
        client_request_token: text(token),
        allow_messages: None,
    }
}

/// A channel with the defaults, made by this user.
pub(crate) fn channel_request(world: &World, who: &IdentityArn) -> CreateChannel {
    CreateChannel {
        app_instance_arn: world.instance().clone(),
        name: text("Lobby"),
        mode: None,
        privacy: None,
        metadata: None,
        client_request_token: text("channel"),
        tags: None,
        chime_bearer: who.clone(),
        channel_id: None,
        member_arns: None,
        moderator_arns: None,
        elastic_channel_configuration: None,
        expiration_settings: None,
    }
}

/// An elastic channel of two sub-channels with two regular members each.
pub(crate) fn elastic_request(world: &World, who: &IdentityArn) -> CreateChannel {
    let elastic_channel_configuration = Some(ElasticChannelConfiguration {
        maximum_sub_channels: 2.try_into().unwrap(),
        target_memberships_per_sub_channel: 2.try_into().unwrap(),
        minimum_membership_percentage: 40.try_into().unwrap(),
    });
    CreateChannel { elastic_channel_configuration, ..channel_request(world, who) }
}

/// A channel flow of one processor.
pub(crate) fn flow_request(world: &World) -> CreateChannelFlow {
    let lambda = LambdaConfiguration {
        resource_arn: text("arn:aws:lambda:us-east-1:111122223333:function:moderate"),
        invocation_type: InvocationType::Async,
    };
    let processor = Processor {
        name: text("Moderate"),
        configuration: ProcessorConfiguration { lambda },
        execution_order: 1.try_into().unwrap(),
        fallback_action: FallbackAction::Abort,
    };
    CreateChannelFlow {
        app_instance_arn: world.instance().clone(),
        processors: vec![processor],
        name: text("Moderation"),
        tags: None,
        client_request_token: text("flow"),
    }
}

/// Gives a channel a flow.
pub(crate) fn association(
    channel: &ChannelArn,
    flow: &ChannelFlowArn,
    who: &IdentityArn,
) -> AssociateChannelFlow {
    AssociateChannelFlow {
        channel_arn: channel.clone(),
        channel_flow_arn: flow.clone(),
        chime_bearer: who.clone(),
    }
}

/// Takes the flow of a channel away.
pub(crate) fn disassociation(
    channel: &ChannelArn,
    flow: &ChannelFlowArn,
    who: &IdentityArn,
) -> DisassociateChannelFlow {
    DisassociateChannelFlow {
        channel_arn: channel.clone(),
        channel_flow_arn: flow.clone(),
        chime_bearer: who.clone(),
    }
}

/// A persistent STANDARD message.
pub(crate) fn message_request(channel: &ChannelArn, who: &IdentityArn, content: &str) -> SendChannelMessage {
    SendChannelMessage {
        channel_arn: channel.clone(),
        content: text(content),
        kind: ChannelMessageType::Standard,
        persistence: ChannelMessagePersistenceType::Persistent,
        metadata: None,
        client_request_token: text("message"),
        chime_bearer: who.clone(),
        push_notification: None,
        message_attributes: None,
        sub_channel_id: None,
        content_type: None,
        target: None,
    }
}

/// The newest messages of a channel, as someone lists them.
pub(crate) fn messages_of(channel: &ChannelArn, who: &IdentityArn) -> ListChannelMessages {
    ListChannelMessages {
        channel_arn: channel.clone(),
        sort_order: None,
        not_before: None,
        not_after: None,
        max_results: None,
        next_token: None,
        chime_bearer: who.clone(),
        sub_channel_id: None,
    }
}
