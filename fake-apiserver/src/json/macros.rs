//! The macro `json!`: values written as JSON in Rust.

/// Builds a [`Value`](crate::json::Value) from JSON syntax; any Rust expression may stand for a value, and a parenthesised
/// one for a key.
///
/// ```
/// use fake_apiserver::json;
/// let name = "a";
/// let value = json!({"metadata": {"name": name, (format!("x-{name}")): [1, true, null]}});
/// assert_eq!(value.str_at(&["metadata", "name"]), "a");
/// ```
#[macro_export]
macro_rules! json {
    (null) => { $crate::json::Value::Null };
    ([ $($items:tt)* ]) => {{
        #[allow(unused_mut, clippy::vec_init_then_push)]
        {
            let mut items: ::std::vec::Vec<$crate::json::Value> = ::std::vec::Vec::new();
            $crate::json_items!(items $($items)*);
            $crate::json::Value::Array(items)
        }
    }};
    ({ $($fields:tt)* }) => {{
        #[allow(unused_mut)]
        {
            let mut map = $crate::json::Map::new();
            $crate::json_fields!(map $($fields)*);
            $crate::json::Value::Object(map)
        }
    }};
    ($value:expr) => { $crate::json::Value::from($value) };
}

/// The elements of a `json!` list.
#[doc(hidden)]
#[macro_export]
macro_rules! json_items {
    ($items:ident) => {};
    ($items:ident null $(, $($rest:tt)*)?) => {
        $items.push($crate::json::Value::Null);
        $crate::json_items!($items $($($rest)*)?);
    };
    ($items:ident [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $items.push($crate::json!([ $($inner)* ]));
        $crate::json_items!($items $($($rest)*)?);
    };
    ($items:ident { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $items.push($crate::json!({ $($inner)* }));
        $crate::json_items!($items $($($rest)*)?);
    };
    ($items:ident $value:expr $(, $($rest:tt)*)?) => {
        $items.push($crate::json::Value::from($value));
        $crate::json_items!($items $($($rest)*)?);
    };
}

/// The fields of a `json!` object.
#[doc(hidden)]
#[macro_export]
macro_rules! json_fields {
    ($map:ident) => {};
    ($map:ident ($key:expr) : $($rest:tt)*) => { $crate::json_field!($map ($key) $($rest)*); };
    ($map:ident $key:literal : $($rest:tt)*) => { $crate::json_field!($map ($key) $($rest)*); };
}

/// One field of a `json!` object, then the rest.
#[doc(hidden)]
#[macro_export]
macro_rules! json_field {
    ($map:ident ($key:expr) null $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::json::Value::Null);
        $crate::json_fields!($map $($($rest)*)?);
    };
    ($map:ident ($key:expr) [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::json!([ $($inner)* ]));
        $crate::json_fields!($map $($($rest)*)?);
    };
    ($map:ident ($key:expr) { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::json!({ $($inner)* }));
        $crate::json_fields!($map $($($rest)*)?);
    };
    ($map:ident ($key:expr) $value:expr $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::json::Value::from($value));
        $crate::json_fields!($map $($($rest)*)?);
    };
}
