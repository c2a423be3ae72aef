//! ServiceCIDRs and IPAddresses: the ranges that Services draw from, and what is drawn.
//!
//! Owns their rules. Simplification: addresses are drawn from one fixed range all the same, and nothing makes IPAddresses.
//! Source: `pkg/registry/networking`, `pkg/apis/networking/validation`.

use crate::json::Value;
use crate::status::Cause;

use super::field::{At, Errors, IMMUTABLE};
use super::internal::{Field, Shape, print};
use super::names::Names;
use super::{Cx, Strategy, addresses};

/// ServiceCIDRs.
pub struct ServiceRanges;

const RANGE_SPEC: &[Field] = &[("CIDRs", "cidrs", Shape::Any)];

impl Strategy for ServiceRanges {
    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let spec = root.field("spec");
        let blocks = spec.field("cidrs");
        let shown = || print(spec.value(), RANGE_SPEC);
        let families = blocks.list().iter();
        let families: Vec<Option<bool>> = families
            .map(|block| addresses::parse_block(block.as_str()?))
            .map(|block| block.map(|(address, _)| address.is_ipv4()))
            .collect();
        match families.as_slice() {
            [] => errors.required(&blocks, "at least one CIDR required"),
            [one, other] if one.is_none() || other.is_none() || one == other => errors.invalid_raw(
                &blocks,
                &shown(),
                "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
            ),
            [_] | [_, _] => {
                for block in blocks.items() {
                    addresses::block(&mut errors, &block);
                }
            }
            _ => errors.invalid_raw(&blocks, &shown(), "may only hold up to 2 values"),
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        if cx.subresource == "status" {
            return errors.causes;
        }
        let root = At::root(new);
        let spec = root.field("spec");
        let blocks = spec.field("cidrs");
        let before = old.array_at(&["spec", "cidrs"]);
        let grows = before.len() == 1 && blocks.list().len() == 2;
        if before.len() != blocks.list().len() && !grows {
            errors.invalid(&blocks, IMMUTABLE);
            return errors.causes;
        }
        for (block, before) in blocks.items().zip(before) {
            errors.immutable(&block, before);
        }
        if grows {
            errors.causes.extend(self.validate_create(cx, new));
        }
        errors.causes
    }
}

/// IPAddresses.
pub struct IpAddresses;

const PARENT: &[Field] = &[
    ("Group", "group", Shape::Text),
    ("Resource", "resource", Shape::Text),
    ("Namespace", "namespace", Shape::Text),
    ("Name", "name", Shape::Text),
];

impl Strategy for IpAddresses {
    fn names(&self) -> Names {
        Names::Address
    }

    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(object);
        let spec = root.field("spec");
        let parent = spec.field("parentRef");
        if !parent.is_set() {
            errors.required(&parent, "");
            return errors.causes;
        }
        let group = parent.field("group");
        if !group.text().is_empty() {
            errors.name(&group, Names::Subdomain);
        }
        for (name, needed) in [("resource", true), ("name", true), ("namespace", false)] {
            let part = parent.field(name);
            if !part.text().is_empty() {
                errors.name(&part, Names::PathSegment);
            } else if needed {
                errors.required(&part, "");
            }
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = self.validate_anew(cx, new, old);
        let root = At::root(new);
        let spec = root.field("spec");
        let parent = spec.field("parentRef");
        errors.immutable_as(&parent, &old["spec"]["parentRef"], PARENT);
        errors.causes
    }
}
