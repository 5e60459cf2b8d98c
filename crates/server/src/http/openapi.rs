//! `GET /_carillon/v1/openapi.json`: the extensions as an `OpenAPI` document, made from the description that the
//! declarations of the operations are compared with. Nothing in it is secret, so it needs no signature.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

/// The interface, in the form of `spec/api.json`.
const DESCRIBED: &str = include_str!("../../../../spec/extensions.json");
const INTERFACE: &str = "carillon-extensions";
const SCHEMAS: &str = "#/components/schemas/";

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let described: Value = serde_json::from_str(DESCRIBED).expect("the description is JSON");
    made(&described[INTERFACE]).to_string().into()
});

/// The document. A page of any origin may read it.
pub(super) async fn document() -> Response {
    let mut response = Response::new(Body::from(DOCUMENT.clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn made(interface: &Value) -> Value {
    let mut paths = Map::new();
    for (name, operation) in entries(&interface["operations"]) {
        let uri = text(&operation["uri"]).split('?').next().unwrap_or_default();
        let path = paths.entry(uri).or_insert_with(|| json!({}));
        path[text(&operation["method"]).to_lowercase()] = described(name, operation, &interface["shapes"]);
    }
    let mut schemas: Map<String, Value> =
        entries(&interface["shapes"]).map(|(name, shape)| (name.clone(), schema(shape))).collect();
    let words = json!({ "type": "string" });
    schemas.insert(
        "Error".to_owned(),
        json!({ "type": "object", "properties": { "Code": words, "Message": words } }),
    );
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Carillon: what the original lacks", "version": interface["apiVersion"] },
        "security": [{ "sigv4": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "sigv4": {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "x-amazon-apigateway-authtype": "awsSigv4",
                "description": "Signature Version 4, for the service chime",
            } },
        },
    })
}

fn described(name: &str, operation: &Value, shapes: &Value) -> Value {
    let input = &shapes[text(&operation["input"])];
    let required: Vec<&str> = input["required"].as_array().into_iter().flatten().map(text).collect();
    let in_body: Map<String, Value> = entries(&input["members"])
        .filter(|(_, member)| member["in"].is_null())
        .map(|(name, member)| (name.clone(), reference(&member["shape"])))
        .collect();
    let parameters: Vec<Value> = entries(&input["members"])
        .filter_map(|(name, member)| {
            let place = match member["in"].as_str()? {
                "uri" => "path",
                "querystring" => "query",
                other => other,
            };
            let required = place == "path" || required.contains(&name.as_str());
            let schema = reference(&member["shape"]);
            Some(json!({ "name": member["wire"], "in": place, "required": required, "schema": schema }))
        })
        .collect();
    let answer = json!({
        "description": "What was asked for",
        "content": { "application/json": { "schema": reference(&operation["output"]) } },
    });
    let failure = json!({
        "description": list(&operation["errors"]),
        "content": { "application/json": { "schema": reference(&json!("Error")) } },
    });
    let mut made = json!({
        "operationId": name,
        "description": operation["documentation"],
        "parameters": parameters,
        "responses": { operation["status"].to_string(): answer, "default": failure },
    });
    if !in_body.is_empty() {
        let required: Vec<&str> = required.into_iter().filter(|name| in_body.contains_key(*name)).collect();
        let schema = json!({ "type": "object", "properties": in_body, "required": required });
        made["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    made
}

fn list(names: &Value) -> String {
    let names: Vec<&str> = names.as_array().into_iter().flatten().map(text).collect();
    names.join(", ")
}

/// A shape as JSON Schema says it. Times are seconds in a body.
fn schema(shape: &Value) -> Value {
    let mut made = match text(&shape["type"]) {
        "timestamp" => json!({ "type": "number", "description": "seconds since 1970-01-01T00:00:00Z" }),
        "structure" => {
            let members: Map<String, Value> = entries(&shape["members"])
                .map(|(name, member)| (name.clone(), reference(&member["shape"])))
                .collect();
            json!({ "type": "object", "properties": members, "required": shape["required"] })
        }
        "list" => json!({ "type": "array", "items": reference(&shape["member"]) }),
        "map" => json!({ "type": "object", "additionalProperties": reference(&shape["value"]) }),
        plain => json!({ "type": plain }),
    };
    let (least, most) = match text(&shape["type"]) {
        "string" => ("minLength", "maxLength"),
        "list" => ("minItems", "maxItems"),
        _ => ("minimum", "maximum"),
    };
    for (ours, theirs) in [("min", least), ("max", most), ("enum", "enum")] {
        if !shape[ours].is_null() {
            made[theirs] = shape[ours].clone();
        }
    }
    // The whole value is meant.
    if let Some(pattern) = shape["pattern"].as_str() {
        made["pattern"] = json!(format!("^(?:{pattern})$"));
    }
    made
}

/// Where the schema of a shape is, which is named by itself or by a member.
fn reference(shape: &Value) -> Value {
    let name = shape.as_str().unwrap_or_else(|| text(&shape["shape"]));
    json!({ "$ref": format!("{SCHEMAS}{name}") })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").map(|name| text(name).to_owned()));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_says_of_every_extension_what_it_takes_and_what_it_refers_to_is_there() {
        let described: Value = serde_json::from_str(DESCRIBED).unwrap();
        let document: Value = serde_json::from_slice(&DOCUMENT).unwrap();
        for (name, operation) in entries(&described[INTERFACE]["operations"]) {
            let uri = text(&operation["uri"]).split('?').next().unwrap();
            let made = &document["paths"][uri][text(&operation["method"]).to_lowercase()];
            assert_eq!(made["operationId"], name.as_str());
            let in_body =
                entries(&made["requestBody"]["content"]["application/json"]["schema"]["properties"]);
            let taken = made["parameters"].as_array().unwrap().len() + in_body.count();
            let input = text(&operation["input"]);
            assert_eq!(taken, entries(&described[INTERFACE]["shapes"][input]["members"]).count(), "{name}");
        }
        let mut named = Vec::new();
        references(&document, &mut named);
        assert!(!named.is_empty());
        for name in named {
            let schema = &document["components"]["schemas"][name.strip_prefix(SCHEMAS).unwrap()];
            assert!(schema["type"].is_string(), "{name}");
        }
        let marker = &document["components"]["schemas"]["ChannelReadMarker"]["properties"];
        assert_eq!(marker["ReadMarkerTimestamp"], json!({ "$ref": "#/components/schemas/Timestamp" }));
    }
}
