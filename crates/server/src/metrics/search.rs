//! How far messages are taken in, for searches.

use std::fmt;
use std::sync::Arc;

use carillon_service::Service;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Page;

/// The index.
pub(crate) struct Index(pub(crate) Arc<Service>);

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Index(…)")
    }
}

impl Collector for Index {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (mut page, progress) = (Page::new(encoder), &self.0.search().progress);
        let help = "Messages that this node took into the search index, those that were changed again";
        page.counter("carillon_search_messages_indexed", help, progress.taken())?;
        let (walked, channels) = progress.walked();
        let help = "Channels of the app instances that have a search index";
        page.gauge("carillon_search_channels", help, channels)?;
        let help = "Channels that the walk of the search index has passed, as this node saw it last";
        page.gauge("carillon_search_channels_walked", help, walked)
    }
}
