#!/usr/bin/env python3
"""Packs the facts of the built-in types into `types.txt`, which `schema::builtin` reads.

    python3 pack_types.py types.json > types.txt

`types.json` holds the field facts of kube-apiserver v1.36.3 by OpenAPI name (see its README). What OpenAPI does not say,
whether a Go field is a pointer and whether its JSON tag lacks `omitempty`, stands in the lists below; it decides which zero
values survive a round trip through the Go types.

Format: one type a line, sorted by name, columns separated by tabs.
    NAME  [=g,v,k;…] [^MAPTYPE] [~SPECIAL]   then one column per field:  FIELD TYPE ATTRIBUTE…
TYPE: s string · y bytes (base64) · i int32 · l int64 · f double · b bool · a any · @N the N-th type · [TYPE list ·
{TYPE map. `s#` starts a list of enum values: s#["A","B"].
ATTRIBUTE: ! required · * Go pointer · + no omitempty (zero and null are written) · d=JSON default of the field ·
D=JSON default of an element · L=list-type · K=list map keys, comma separated · M=map-type · S=patch strategies ·
G=patch merge key.
"""
import json
import sys

POINTERS = """
TokenRequestSpec.expirationSeconds CSIVolumeSource.readOnly CSIVolumeSource.fsType ClusterTrustBundleProjection.*
ConfigMap.immutable ConfigMapEnvSource.optional ConfigMapKeySelector.optional ConfigMapProjection.optional
ConfigMapVolumeSource.* ContainerStatus.started NodeFeatures.* NodeRuntimeHandlerFeatures.* PodSecurityContext.*
PodSpec.automountServiceAccountToken PodSpec.enableServiceLinks PodSpec.hostUsers PodSpec.setHostnameAsFQDN
PodSpec.hostnameOverride PodSpec.shareProcessNamespace PodSpec.activeDeadlineSeconds PodSpec.priority PodSpec.preemptionPolicy
PodSpec.runtimeClassName PodSpec.terminationGracePeriodSeconds Secret.immutable SecretEnvSource.optional
SecretKeySelector.optional SecretProjection.optional SecretVolumeSource.optional SecretVolumeSource.defaultMode
FileKeySelector.optional SecurityContext.* ServiceAccount.automountServiceAccountToken
ServiceSpec.allocateLoadBalancerNodePorts ServiceSpec.internalTrafficPolicy ServiceSpec.ipFamilyPolicy
ServiceSpec.loadBalancerClass ServiceSpec.trafficDistribution WindowsSecurityContextOptions.* EndpointConditions.*
Device.allNodes Device.allowMultipleAllocations Device.bindsToNode Device.nodeName DeviceAttribute.*
DeviceRequestAllocationResult.adminAccess DeviceRequestAllocationResult.shareID ExactDeviceRequest.adminAccess
ResourceSliceSpec.* DeviceConstraint.* DeviceToleration.tolerationSeconds AllocatedDeviceStatus.shareID
DeviceSelector.* CSIDriverSpec.* StorageClass.* CustomResourceDefinitionVersion.deprecationWarning
JSONSchemaProps.x-kubernetes-preserve-unknown-fields JSONSchemaProps.x-kubernetes-list-type
JSONSchemaProps.x-kubernetes-map-type JSONSchemaProps.$ref JSONSchemaProps.maxItems JSONSchemaProps.maxLength
JSONSchemaProps.maxProperties JSONSchemaProps.minItems JSONSchemaProps.minLength JSONSchemaProps.minProperties
JSONSchemaProps.maximum JSONSchemaProps.minimum JSONSchemaProps.multipleOf ValidationRule.optionalOldSelf
ValidationRule.reason CustomResourceSubresourceScale.labelSelectorPath WebhookClientConfig.url DeleteOptions.*
OwnerReference.* MutatingWebhook.* ValidatingWebhook.* ServiceReference.port ServiceReference.path
RuleWithOperations.scope NamedRuleWithOperations.scope MatchResources.matchPolicy ValidatingAdmissionPolicySpec.failurePolicy
MutatingAdmissionPolicySpec.failurePolicy Validation.reason ParamRef.parameterNotFoundAction
DaemonSetSpec.revisionHistoryLimit DaemonSetStatus.collisionCount DeploymentSpec.progressDeadlineSeconds
DeploymentSpec.replicas DeploymentSpec.revisionHistoryLimit DeploymentStatus.collisionCount
DeploymentStatus.terminatingReplicas ReplicaSetSpec.replicas ReplicaSetStatus.terminatingReplicas
RollingUpdateStatefulSetStrategy.partition StatefulSetSpec.replicas StatefulSetSpec.revisionHistoryLimit
StatefulSetStatus.collisionCount ReplicationControllerSpec.replicas
HorizontalPodAutoscalerSpec.minReplicas HorizontalPodAutoscalerSpec.targetCPUUtilizationPercentage
HorizontalPodAutoscalerStatus.currentCPUUtilizationPercentage HorizontalPodAutoscalerStatus.observedGeneration
HPAScalingRules.* MetricTarget.averageUtilization MetricValueStatus.averageUtilization CronJobSpec.failedJobsHistoryLimit
CronJobSpec.startingDeadlineSeconds CronJobSpec.successfulJobsHistoryLimit CronJobSpec.suspend CronJobSpec.timeZone
JobSpec.* JobStatus.ready JobStatus.terminating JobStatus.failedIndexes SuccessPolicyRule.* CertificateSigningRequestSpec.expirationSeconds
PodFailurePolicyOnExitCodesRequirement.containerName LeaseSpec.* ClientIPConfig.timeoutSeconds DownwardAPIVolumeFile.mode
DownwardAPIVolumeSource.defaultMode FCVolumeSource.lun KeyToPath.mode NodeSwapStatus.capacity
PodCertificateProjection.maxExpirationSeconds Probe.terminationGracePeriodSeconds ProjectedVolumeSource.defaultMode
ServiceAccountTokenProjection.expirationSeconds Toleration.tolerationSeconds TopologySpreadConstraint.minDomains
TopologySpreadConstraint.nodeAffinityPolicy TopologySpreadConstraint.nodeTaintsPolicy
io.k8s.api.discovery.v1.EndpointPort.* io.k8s.api.core.v1.EndpointPort.appProtocol
ExemptPriorityLevelConfiguration.* LimitedPriorityLevelConfiguration.* NetworkPolicyPort.* VolumeError.errorCode
VolumeNodeResources.count ListMeta.remainingItemCount ObjectMeta.deletionGracePeriodSeconds ServicePort.appProtocol
Endpoint.hostname Endpoint.nodeName Endpoint.zone EndpointAddress.nodeName PersistentVolumeClaimSpec.storageClassName
PersistentVolumeClaimSpec.volumeMode PersistentVolumeClaimSpec.volumeAttributesClassName PersistentVolumeSpec.volumeMode
PersistentVolumeSpec.volumeAttributesClassName PersistentVolumeClaimStatus.currentVolumeAttributesClassName
PriorityClass.preemptionPolicy IngressSpec.ingressClassName HTTPIngressPath.pathType IngressClassParametersReference.*
TypedLocalObjectReference.apiGroup TypedObjectReference.apiGroup TypedObjectReference.namespace
VolumeAttachmentSource.persistentVolumeName VolumeMount.mountPropagation VolumeMount.recursiveReadOnly
VolumeMountStatus.recursiveReadOnly Container.restartPolicy EphemeralContainer.restartPolicy SeccompProfile.localhostProfile
AppArmorProfile.localhostProfile GRPCAction.service HostPathVolumeSource.type AzureDiskVolumeSource.*
ISCSIVolumeSource.initiatorName ISCSIPersistentVolumeSource.initiatorName AzureFilePersistentVolumeSource.secretNamespace
PodDNSConfigOption.value PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy LoadBalancerIngress.ipMode
PortStatus.error PodResourceClaim.* PodResourceClaimStatus.resourceClaimName Lifecycle.stopSignal
ContainerStatus.stopSignal CSIStorageCapacity.* PodSchedulingGroup.podGroupName
RollingUpdateDeployment.* RollingUpdateDaemonSet.* PodDisruptionBudgetSpec.minAvailable PodDisruptionBudgetSpec.maxUnavailable
CSIStorageCapacity.capacity CSIStorageCapacity.maximumVolumeSize ResourceMetricSource.* Overhead.* EmptyDirVolumeSource.sizeLimit
MetricTarget.value MetricTarget.averageValue MetricValueStatus.value MetricValueStatus.averageValue NetworkPolicyPort.port
HorizontalPodAutoscalerStatus.lastScaleTime CronJobStatus.lastScheduleTime CronJobStatus.lastSuccessfulTime
JobStatus.completionTime JobStatus.startTime LeaseSpec.acquireTime LeaseSpec.renewTime
PersistentVolumeStatus.lastPhaseTransitionTime PodStatus.startTime Taint.timeAdded DeviceTaint.timeAdded
AllocationResult.allocationTimestamp ManagedFieldsEntry.time ObjectMeta.deletionTimestamp ObjectMeta.creationTimestamp
DeviceCapacity.* CapacityRequirements.* HPAScalingRules.tolerance DeviceCounterConsumption.*
""".split()

# Written although zero: their JSON tag has no omitempty (required lists and maps are found by themselves).
KEPT = """
CustomResourceDefinitionStatus.conditions CustomResourceDefinitionStatus.storedVersions
io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus.currentMetrics EndpointSlice.endpoints EndpointSlice.ports
ClusterRole.rules Role.rules DeviceClaim.requests CSINodeDriver.topologyKeys TokenRequestSpec.boundObjectRef
TokenRequestSpec.audiences TypedLocalObjectReference.apiGroup TypedObjectReference.apiGroup
""".split()

# Optional although their zero is their default.
OMITTED = [
    "ReplicationControllerSpec.minReadySeconds",
    "ScaleSpec.replicas",
    "ValidatingAdmissionPolicyBindingSpec.validationActions",
]

SPECIAL = {
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "json",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "schema-or-array",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "schema-or-bool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "schema-or-strings",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "fields",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "micro-time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "raw",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
}


def main():
    schemas = json.load(open(sys.argv[1]))["schemas"]
    names = sorted(schemas)
    index = {name: i for i, name in enumerate(names)}
    used = set()

    def listed(table, name, field):
        short = name.split(".")[-1]
        for key in (f"{short}.{field}", f"{name}.{field}", f"{short}.*", f"{name}.*"):
            if key in table:
                used.add(key)
                return True
        return False

    def dump(value):
        return json.dumps(value, separators=(",", ":"), sort_keys=True).replace(" ", "\\u0020")

    def kind(field):
        if "ref" in field:
            return f"@{index[field['ref']]}"
        t = field.get("type")
        if t == "array":
            return "[" + kind(field["items"])
        if t == "object":
            return "{" + ("a" if field.get("values", True) is True else kind(field["values"]))
        if t is None:
            return "a"
        code = {"string": "s", "boolean": "b", "number": "f", "integer": "l"}[t]
        if field.get("format") == "int32":
            code = "i"
        if field.get("format") == "byte":
            code = "y"
        return code + ("#" + dump(field["enum"]) if "enum" in field else "")

    for name in names:
        schema = schemas[name]
        columns = [name]
        if schema.get("group-version-kind"):
            columns[0] += " =" + ";".join(",".join(g) for g in schema["group-version-kind"])
        if "map-type" in schema:
            columns[0] += " ^" + schema["map-type"]
        if name in SPECIAL:
            columns[0] += " ~" + SPECIAL[name]
        required = schema.get("required", [])
        for field_name in sorted(schema.get("fields", {})):
            field = schema["fields"][field_name]
            parts = [field_name, kind(field)]
            is_ref = "ref" in field
            zero = field.get("default") in ("", 0, False) and not isinstance(field.get("default"), dict)
            if field_name in required:
                parts.append("!")
            special = SPECIAL.get(field.get("ref"))
            struct = is_ref and field.get("default") == {}
            pointer = (is_ref and not struct) if special not in ("time", "micro-time", "quantity", "int-or-string") else False
            scalar = field.get("type") not in ("array", "object")
            if (scalar and listed(POINTERS, name, field_name)) or pointer:
                parts.append("*")
            keep = listed(KEPT, name, field_name)
            keep = keep or (field.get("type") in ("array", "object") and field_name in required)
            keep = keep or ("default" in field and zero and "ref" not in field) or struct
            keep = keep or field_name == "divisor" or (special == "quantity" and field_name in required)
            # A Go struct cannot be empty for omitempty: times that are no pointers are written as null.
            keep = keep or (special in ("time", "micro-time") and "*" not in parts)
            keep = keep and not listed(OMITTED, name, field_name)
            if keep:
                parts.append("+")
            if "default" in field:
                parts.append("d=" + dump(field["default"]))
            for element in ("items", "values"):
                if isinstance(field.get(element), dict) and "default" in field[element]:
                    parts.append("D=" + dump(field[element]["default"]))
            for key, letter in (("list-type", "L"), ("map-type", "M"), ("patch-strategy", "S"), ("patch-merge-key", "G")):
                if key in field:
                    parts.append(f"{letter}={field[key]}")
            if "list-map-keys" in field:
                parts.append("K=" + ",".join(field["list-map-keys"]))
            columns.append(" ".join(parts))
        print("\t".join(columns))
    unused = [key for key in POINTERS + KEPT if key not in used and not key.endswith(".*")]
    if unused:
        print("not found: " + " ".join(unused), file=sys.stderr)


main()
