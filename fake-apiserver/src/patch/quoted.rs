//! The patched document as the answer to an undecodable one quotes it (D11).
//!
//! The real server prints the bytes it was about to decode: what the patch touched in key order, what it left alone in the
//! order of the Go structs. Simplification: that order is known for the types in [`ORDER`]; others stay in key order.

use crate::json::{self, Map, Value};
use crate::schema::Schema;

/// Types by the end of their OpenAPI name, with their fields in the order of the Go struct.
const ORDER: [(&str, &str); 19] = [
    (
        "meta.v1.ObjectMeta",
        "name generateName namespace selfLink uid resourceVersion generation creationTimestamp deletionTimestamp deletionGracePeriodSeconds labels annotations ownerReferences finalizers managedFields",
    ),
    (
        "meta.v1.ManagedFieldsEntry",
        "manager operation apiVersion time fieldsType fieldsV1 subresource",
    ),
    (
        "meta.v1.OwnerReference",
        "apiVersion kind name uid controller blockOwnerDeletion",
    ),
    ("meta.v1.LabelSelector", "matchLabels matchExpressions"),
    ("meta.v1.LabelSelectorRequirement", "key operator values"),
    (
        "apps.v1.DeploymentSpec",
        "replicas selector template strategy minReadySeconds revisionHistoryLimit paused progressDeadlineSeconds",
    ),
    ("apps.v1.DeploymentStrategy", "type rollingUpdate"),
    ("apps.v1.RollingUpdateDeployment", "maxUnavailable maxSurge"),
    (
        "apps.v1.ReplicaSetSpec",
        "replicas minReadySeconds selector template",
    ),
    (
        "apps.v1.StatefulSetSpec",
        "replicas selector template volumeClaimTemplates serviceName podManagementPolicy updateStrategy revisionHistoryLimit minReadySeconds persistentVolumeClaimRetentionPolicy ordinals",
    ),
    ("core.v1.PodTemplateSpec", "metadata spec"),
    (
        "core.v1.PodSpec",
        "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy nodeSelector serviceAccountName serviceAccount automountServiceAccountToken nodeName hostNetwork hostPID hostIPC shareProcessNamespace securityContext imagePullSecrets hostname subdomain affinity schedulerName tolerations hostAliases priorityClassName priority dnsConfig readinessGates runtimeClassName enableServiceLinks preemptionPolicy overhead topologySpreadConstraints setHostnameAsFQDN os hostUsers schedulingGates resourceClaims resources",
    ),
    (
        "core.v1.Container",
        "name image command args workingDir ports envFrom env resources resizePolicy restartPolicy volumeMounts volumeDevices livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce tty",
    ),
    (
        "core.v1.ContainerPort",
        "name hostPort containerPort protocol hostIP",
    ),
    ("core.v1.EnvVar", "name value valueFrom"),
    (
        "core.v1.Toleration",
        "key operator value effect tolerationSeconds",
    ),
    (
        "core.v1.ServiceSpec",
        "ports selector clusterIP clusterIPs type externalIPs sessionAffinity loadBalancerIP loadBalancerSourceRanges externalName externalTrafficPolicy healthCheckNodePort publishNotReadyAddresses sessionAffinityConfig ipFamilies ipFamilyPolicy allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy trafficDistribution",
    ),
    (
        "core.v1.ServicePort",
        "name protocol appProtocol port targetPort nodePort",
    ),
    (
        "coordination.v1.LeaseSpec",
        "holderIdentity leaseDurationSeconds acquireTime renewTime leaseTransitions strategy preferredHolder",
    ),
];

/// The document as JSON text.
pub(crate) fn document(schema: &Schema, live: &Value, patched: &Value) -> String {
    let mut out = Vec::with_capacity(512);
    if schema.name().is_some() {
        touched(&mut out, Some(schema), Some(live), patched);
    } else {
        json::write(patched, &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes what the patch went through: in key order, as far as it differs from the live object.
fn touched(out: &mut Vec<u8>, schema: Option<&Schema>, live: Option<&Value>, value: &Value) {
    let Value::Object(map) = value else {
        return json::write(value, out);
    };
    write_fields(out, map.iter(), |out, key, value| {
        let below = schema.and_then(|schema| schema.child(key));
        match live.and_then(|live| live.get(key)) {
            Some(was) if was == value => untouched(out, below, value),
            was => touched(out, below, was, value),
        }
    });
}

/// Writes what the patch left alone: in the order of the Go structs.
fn untouched(out: &mut Vec<u8>, schema: Option<&Schema>, value: &Value) {
    match value {
        Value::Object(map) => {
            let fields = ordered(schema, map);
            write_fields(out, fields.into_iter(), |out, key, value| {
                untouched(out, schema.and_then(|schema| schema.child(key)), value);
            });
        }
        Value::Array(items) => {
            let below = schema.and_then(Schema::items);
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                untouched(out, below, item);
            }
            out.push(b']');
        }
        _ => json::write(value, out),
    }
}

/// The fields of an object as its struct has them; what is not known of comes last.
fn ordered<'v>(schema: Option<&Schema>, map: &'v Map) -> Vec<(&'v str, &'v Value)> {
    let name = schema.and_then(Schema::name).unwrap_or_default();
    let order = ORDER.iter().find(|(end, _)| name.ends_with(end));
    let order: Vec<&str> = order.map_or(Vec::new(), |(_, fields)| fields.split(' ').collect());
    let mut fields: Vec<(&str, &Value)> = map.iter().collect();
    fields.sort_by_key(|(key, _)| {
        order
            .iter()
            .position(|field| field == key)
            .unwrap_or(usize::MAX)
    });
    fields
}

fn write_fields<'v>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'v str, &'v Value)>,
    write: impl Fn(&mut Vec<u8>, &str, &Value),
) {
    out.push(b'{');
    for (i, (key, value)) in fields.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json::write_string(key, out);
        out.push(b':');
        write(out, key, value);
    }
    out.push(b'}');
}
