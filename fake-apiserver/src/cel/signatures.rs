//! The functions there are: their names, overloads and the library each belongs to.
//!
//! Owns the table and its reading. Does not run functions (`cel::functions`).
//! Behaviour: cel-go `checker/decls`, `ext`; Kubernetes `apiserver/pkg/cel/library`.

use super::types::Type;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One overload of a function.
#[derive(Debug)]
pub(crate) struct Overload {
    /// Called as `target.name(…)`; the target is the first parameter.
    pub(crate) member: bool,
    /// Parameter types, the target first.
    pub(crate) params: Vec<Type>,
    /// Result type.
    pub(crate) result: Type,
}

/// A function with its overloads.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name, with its name space.
    pub(crate) name: &'static str,
    /// Its overloads in order of declaration.
    pub(crate) overloads: Vec<Overload>,
}

/// The function of this name.
pub(crate) fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.get(name)
}

static FUNCTIONS: LazyLock<BTreeMap<&'static str, Function>> = LazyLock::new(|| {
    TABLE
        .iter()
        .map(|line| {
            let (name, overloads) = line.split_once(' ').expect("a name, then overloads");
            let function = Function {
                name,
                overloads: overloads.split(" | ").map(overload).collect(),
            };
            (name, function)
        })
        .collect()
});

/// `name overload | overload`, an overload being `[target.](params)result`.
const TABLE: &[&str] = &[
    "_?_:_ (bool,A,A)A",
    "_&&_ (bool,bool)bool",
    "_||_ (bool,bool)bool",
    "!_ (bool)bool",
    "-_ (int)int | (double)double",
    "@not_strictly_false (bool)bool",
    "_==_ (A,A)bool",
    "_!=_ (A,A)bool",
    "@in (A,list(A))bool | (A,map(A,B))bool",
    "_[_] (list(A),int)A | (map(A,B),A)B | (optional(list(A)),int)optional(A) | (optional(map(A,B)),A)optional(B)",
    "_[?_] (list(A),int)optional(A) | (optional(list(A)),int)optional(A) | (map(A,B),A)optional(B) | (optional(map(A,B)),A)optional(B)",
    "_<_ (bool,bool)bool | (int,int)bool | (uint,uint)bool | (double,double)bool | (string,string)bool | (bytes,bytes)bool | (timestamp,timestamp)bool | (duration,duration)bool | (int,double)bool | (int,uint)bool | (uint,double)bool | (uint,int)bool | (double,int)bool | (double,uint)bool",
    "_<=_ (bool,bool)bool | (int,int)bool | (uint,uint)bool | (double,double)bool | (string,string)bool | (bytes,bytes)bool | (timestamp,timestamp)bool | (duration,duration)bool | (int,double)bool | (int,uint)bool | (uint,double)bool | (uint,int)bool | (double,int)bool | (double,uint)bool",
    "_>_ (bool,bool)bool | (int,int)bool | (uint,uint)bool | (double,double)bool | (string,string)bool | (bytes,bytes)bool | (timestamp,timestamp)bool | (duration,duration)bool | (int,double)bool | (int,uint)bool | (uint,double)bool | (uint,int)bool | (double,int)bool | (double,uint)bool",
    "_>=_ (bool,bool)bool | (int,int)bool | (uint,uint)bool | (double,double)bool | (string,string)bool | (bytes,bytes)bool | (timestamp,timestamp)bool | (duration,duration)bool | (int,double)bool | (int,uint)bool | (uint,double)bool | (uint,int)bool | (double,int)bool | (double,uint)bool",
    "_+_ (bytes,bytes)bytes | (double,double)double | (duration,duration)duration | (duration,timestamp)timestamp | (timestamp,duration)timestamp | (int,int)int | (list(A),list(A))list(A) | (string,string)string | (uint,uint)uint",
    "_-_ (double,double)double | (duration,duration)duration | (int,int)int | (timestamp,duration)timestamp | (timestamp,timestamp)duration | (uint,uint)uint",
    "_*_ (double,double)double | (int,int)int | (uint,uint)uint",
    "_/_ (double,double)double | (int,int)int | (uint,uint)uint",
    "_%_ (int,int)int | (uint,uint)uint",
    // Conversions.
    "bool (bool)bool | (string)bool",
    "bytes (bytes)bytes | (string)bytes",
    "double (double)double | (int)double | (string)double | (uint)double",
    "duration (duration)duration | (int)duration | (string)duration",
    "dyn (A)dyn",
    "int (int)int | (double)int | (duration)int | (string)int | (timestamp)int | (uint)int",
    "string (string)string | (bool)string | (bytes)string | (double)string | (duration)string | (int)string | (timestamp)string | (uint)string | (ip)string | (cidr)string",
    "timestamp (timestamp)timestamp | (int)timestamp | (string)timestamp",
    "type (A)type(A)",
    "uint (uint)uint | (double)uint | (int)uint | (string)uint",
    "size (bytes)int | bytes.()int | (list(A))int | list(A).()int | (map(A,B))int | map(A,B).()int | (string)int | string.()int",
    // Strings.
    "contains string.(string)bool",
    "endsWith string.(string)bool",
    "startsWith string.(string)bool",
    "matches (string,string)bool | string.(string)bool",
    "charAt string.(int)string",
    "indexOf string.(string)int | string.(string,int)int | list(A).(A)int",
    "lastIndexOf string.(string)int | string.(string,int)int | list(A).(A)int",
    "join list(string).()string | list(string).(string)string",
    "lowerAscii string.()string",
    "upperAscii string.()string",
    "replace string.(string,string)string | string.(string,string,int)string",
    "split string.(string)list(string) | string.(string,int)list(string)",
    "substring string.(int)string | string.(int,int)string",
    "trim string.()string",
    "format string.(list(dyn))string",
    "strings.quote (string)string",
    "find string.(string)string",
    "findAll string.(string)list(string) | string.(string,int)list(string)",
    // Times.
    "getFullYear timestamp.()int | timestamp.(string)int",
    "getMonth timestamp.()int | timestamp.(string)int",
    "getDayOfYear timestamp.()int | timestamp.(string)int",
    "getDayOfMonth timestamp.()int | timestamp.(string)int",
    "getDate timestamp.()int | timestamp.(string)int",
    "getDayOfWeek timestamp.()int | timestamp.(string)int",
    "getHours timestamp.()int | timestamp.(string)int | duration.()int",
    "getMinutes timestamp.()int | timestamp.(string)int | duration.()int",
    "getSeconds timestamp.()int | timestamp.(string)int | duration.()int",
    "getMilliseconds timestamp.()int | timestamp.(string)int | duration.()int",
    // Lists.
    "isSorted list(A).()bool",
    "sum list(int).()int | list(uint).()uint | list(double).()double | list(duration).()duration",
    "min list(A).()A",
    "max list(A).()A",
    "slice list(A).(int,int)list(A)",
    "flatten list(list(A)).()list(A) | list(dyn).(int)list(dyn)",
    "lists.range (int)list(int)",
    "distinct list(A).()list(A)",
    "reverse list(A).()list(A)",
    "sort list(A).()list(A)",
    "first list(A).()optional(A)",
    "last list(A).()optional(A)",
    // Sets.
    "sets.contains (list(A),list(A))bool",
    "sets.equivalent (list(A),list(A))bool",
    "sets.intersects (list(A),list(A))bool",
    // Optionals.
    "optional.of (A)optional(A)",
    "optional.ofNonZeroValue (A)optional(A)",
    "optional.none ()optional(A)",
    "hasValue optional(A).()bool",
    "value optional(A).()A",
    "or optional(A).(optional(A))optional(A)",
    "orValue optional(A).(A)A",
    "optional.unwrap (list(optional(A)))list(A)",
    "unwrapOpt list(optional(A)).()list(A)",
    // Quantities; versions share some names.
    "quantity (string)quantity",
    "isQuantity (string)bool",
    "isInteger quantity.()bool",
    "asInteger quantity.()int",
    "asApproximateFloat quantity.()double",
    "sign quantity.()int",
    "isGreaterThan quantity.(quantity)bool | semver.(semver)bool",
    "isLessThan quantity.(quantity)bool | semver.(semver)bool",
    "compareTo quantity.(quantity)int | semver.(semver)int",
    "add quantity.(quantity)quantity | quantity.(int)quantity",
    "sub quantity.(quantity)quantity | quantity.(int)quantity",
    "semver (string)semver | (string,bool)semver",
    "isSemver (string)bool | (string,bool)bool",
    "major semver.()int",
    "minor semver.()int",
    "patch semver.()int",
    // URLs.
    "url (string)url",
    "isURL (string)bool",
    "getScheme url.()string",
    "getHost url.()string",
    "getHostname url.()string",
    "getPort url.()string",
    "getEscapedPath url.()string",
    "getQuery url.()map(string,list(string))",
    // Addresses.
    "ip (string)ip | cidr.()ip",
    "isIP (string)bool",
    "ip.isCanonical (string)bool",
    "family ip.()int",
    "isUnspecified ip.()bool",
    "isLoopback ip.()bool",
    "isLinkLocalMulticast ip.()bool",
    "isLinkLocalUnicast ip.()bool",
    "isGlobalUnicast ip.()bool",
    "cidr (string)cidr",
    "isCIDR (string)bool",
    "containsIP cidr.(string)bool | cidr.(ip)bool",
    "containsCIDR cidr.(string)bool | cidr.(cidr)bool",
    "masked cidr.()cidr",
    "prefixLength cidr.()int",
    // Named formats.
    "format.named (string)optional(format)",
    "validate format.(string)optional(list(string))",
    "format.dns1123Label ()format",
    "format.dns1123Subdomain ()format",
    "format.dns1035Label ()format",
    "format.qualifiedName ()format",
    "format.dns1123LabelPrefix ()format",
    "format.dns1123SubdomainPrefix ()format",
    "format.dns1035LabelPrefix ()format",
    "format.labelValue ()format",
    "format.uri ()format",
    "format.uuid ()format",
    "format.byte ()format",
    "format.date ()format",
    "format.datetime ()format",
    // The authorizer, where a variable of its type is declared.
    "path authorizer.(string)pathCheck",
    "group authorizer.(string)groupCheck",
    "serviceAccount authorizer.(string,string)authorizer",
    "resource groupCheck.(string)resourceCheck",
    "subresource resourceCheck.(string)resourceCheck",
    "namespace resourceCheck.(string)resourceCheck",
    "name resourceCheck.(string)resourceCheck",
    "fieldSelector resourceCheck.(string)resourceCheck",
    "labelSelector resourceCheck.(string)resourceCheck",
    "check pathCheck.(string)decision | resourceCheck.(string)decision",
    "allowed decision.()bool",
    "reason decision.()string",
    "error decision.()string",
    "errored decision.()bool",
    "jsonpatch.escapeKey (string)string",
    "@mapInsert (map(A,B),A,B)map(A,B)",
];

fn overload(text: &'static str) -> Overload {
    let open = outer_paren(text);
    let (head, rest) = text.split_at(open);
    let member = head.ends_with('.');
    let (params, result) = closing(&rest[1..]);
    let mut types = Vec::new();
    if member {
        types.push(parse_type(&head[..head.len() - 1]));
    }
    types.extend(split_params(params).into_iter().map(parse_type));
    Overload {
        member,
        params: types,
        result: parse_type(result),
    }
}

/// The parenthesis that opens the parameters: the first, or the one after `target.`.
fn outer_paren(text: &str) -> usize {
    match text.find(".(") {
        Some(dot) => dot + 1,
        None => text.find('(').expect("an overload has parameters"),
    }
}

/// Splits `params)result`.
fn closing(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return (&text[..i], &text[i + 1..]),
            ')' => depth -= 1,
            _ => {}
        }
    }
    panic!("unbalanced overload");
}

fn split_params(text: &str) -> Vec<&str> {
    let (mut params, mut depth, mut start) = (Vec::new(), 0, 0);
    if text.is_empty() {
        return params;
    }
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                params.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    params.push(&text[start..]);
    params
}

fn parse_type(text: &str) -> Type {
    if let Some(open) = text.find('(') {
        let inner = split_params(&text[open + 1..text.len() - 1]);
        return match &text[..open] {
            "list" => Type::list(parse_type(inner[0])),
            "map" => Type::map(parse_type(inner[0]), parse_type(inner[1])),
            "optional" => Type::optional(parse_type(inner[0])),
            "type" => Type::Type(parse_type(inner[0]).into()),
            other => panic!("unknown type constructor {other}"),
        };
    }
    match text {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::UInt,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "dyn" => Type::Dyn,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "A" => Type::Param('A'),
        "B" => Type::Param('B'),
        "quantity" => Type::Opaque("kubernetes.Quantity"),
        "semver" => Type::Opaque("kubernetes.Semver"),
        "url" => Type::Opaque("kubernetes.URL"),
        "ip" => Type::Opaque("net.IP"),
        "cidr" => Type::Opaque("net.CIDR"),
        "format" => Type::Opaque("kubernetes.NamedFormat"),
        "authorizer" => AUTHORIZER,
        "pathCheck" => Type::Opaque("kubernetes.authorization.PathCheck"),
        "groupCheck" => Type::Opaque("kubernetes.authorization.GroupCheck"),
        "resourceCheck" => RESOURCE_CHECK,
        "decision" => Type::Opaque("kubernetes.authorization.Decision"),
        other => panic!("unknown type {other}"),
    }
}

/// The type of `authorizer`.
pub const AUTHORIZER: Type = Type::Opaque("kubernetes.authorization.Authorizer");
/// The type of `authorizer.requestResource`.
pub const RESOURCE_CHECK: Type = Type::Opaque("kubernetes.authorization.ResourceCheck");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read() {
        let size = function("size").expect("size");
        assert_eq!(size.overloads.len(), 8);
        assert!(size.overloads[7].member);
        let index = function("_[?_]").expect("optional index");
        assert_eq!(index.overloads[3].result.to_string(), "optional_type(B)");
    }
}
