//! `carillon dev`: the server with a demo in it, and what to paste into a shell to talk to it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::demo::Demo;
use carillon_server::config::{Settings, Written};
use carillon_server::error::{ExitStatus, Result};
use carillon_server::wire::Running;
use carillon_server::{log, wire};

/// Runs the server with a demo until a signal ends it.
pub(crate) fn run(written: Written) -> Result<ExitStatus> {
    let settings = Settings::read_for_dev(written)?;
    log::start(&settings)?;
    wire::run(&settings, async |running| {
        let demo = Demo::open(&running.service, &*running.clock, &running.root, &settings.home).await?;
        running.prefer(&demo.app_instance);
        let mut stdout = std::io::stdout().lock();
        // Where stdout is closed nobody wants to know, and the server runs all the same.
        let code = running.link(demo.shown());
        let _ = stdout.write_all(welcome(running, &demo, settings.home.region(), &code).as_bytes());
        let _ = stdout.flush();
        Ok(())
    })?;
    Ok(ExitStatus::Success)
}

fn welcome(running: &Running, demo: &Demo, region: &str, code: &str) -> String {
    let endpoint = endpoint(running.http, running.https);
    let mut text = format!(
        "# Carillon runs. Open this in a browser, and see two people talk:\n\n\
         #   {endpoint}/_carillon/console/#code={code}\n\n\
         # Paste these lines into another shell:\n\n"
    );
    let mut export = |name: &str, value: &str| {
        let _ = writeln!(text, "export {name}={}", quoted(value));
    };
    export("AWS_ENDPOINT_URL", &endpoint);
    export("AWS_ACCESS_KEY_ID", &running.root.access_key_id);
    export("AWS_SECRET_ACCESS_KEY", running.root.expose_secret());
    // The AWS CLI and boto3 read the second, most other SDKs the first.
    export("AWS_REGION", region);
    export("AWS_DEFAULT_REGION", region);
    if let Some(ca) = &running.ca {
        export("AWS_CA_BUNDLE", &ca.display().to_string());
    }
    let (ana, channel) = (&demo.ana, &demo.channel);
    let bot = demo.bot.as_ref().map_or_else(String::new, |bot| format!("\n#   echo, a bot   {bot}"));
    let rehearsal = demo.rehearsal.as_ref();
    let rehearsal = rehearsal.map_or_else(String::new, |channel| format!("\n#   with a flow   {channel}"));
    let _ = write!(
        text,
        "
# Then send a message, and read it:

aws chime-sdk-messaging send-channel-message --channel-arn {channel} --chime-bearer {ana} \\
  --type STANDARD --persistence PERSISTENT --content 'Hello, Bob'
aws chime-sdk-messaging list-channel-messages --channel-arn {channel} --chime-bearer {bob}

# Or be somebody new, as a web page would; the answer has credentials of a user:

curl --request POST {endpoint}/_carillon/creds

# The demo:

#   app instance  {instance}
#   ana           {ana}
#   bob           {bob}
#   channel       {channel}{rehearsal}{bot}
",
        bob = demo.bob,
        instance = demo.app_instance,
    );
    text
}

/// Where a client on this machine finds the server: in clear text if it can.
fn endpoint(http: Option<SocketAddr>, https: Option<SocketAddr>) -> String {
    match (http, https) {
        (Some(address), _) if address.ip().is_unspecified() => {
            format!("http://{}", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()))
        }
        (Some(address), _) => format!("http://{address}"),
        // The certificate has this name, whatever the address is.
        (None, https) => format!("https://localhost:{}", https.map_or(443, |address| address.port())),
    }
}

/// For a shell: as it is, or in single quotes.
fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=+,@".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("/data/ana/ca.pem"), "/data/ana/ca.pem");
        assert_eq!(quoted("/data/ana b/ca.pem"), "'/data/ana b/ca.pem'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn the_endpoint_can_be_reached_from_here() {
        let address = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
        assert_eq!(endpoint(address("127.0.0.1:8480"), address("127.0.0.1:8443")), "http://127.0.0.1:8480");
        assert_eq!(endpoint(address("0.0.0.0:80"), None), "http://127.0.0.1:80");
        assert_eq!(endpoint(address("[::]:80"), None), "http://127.0.0.1:80");
        assert_eq!(endpoint(None, address("0.0.0.0:8443")), "https://localhost:8443");
    }
}
