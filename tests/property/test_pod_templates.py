"""Whatever a template says: it is refused, or the pods that it makes have every guard, and all that was the operator's.

The judge knows nothing of our lists: Pod Security's level `baseline` as training Jobs are held to it, the parts of
`restricted` that can be told of a pod, and the pod as it would have been without a template.
"""

from collections.abc import Iterator
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import PLATFORM, owner
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import Monitor, Router, Spec, parse_pods
from modelward.retraining import pod_template as baseline
from modelward.revisions import deployment as revision
from modelward.routing.envoy import objects as router

Json = dict[str, Any]


def mostly(good: list[Any], bad: list[Any], one_in: int = 12) -> st.SearchStrategy[Any]:
    """One of them, and one in so many a bad one: else nothing would ever be taken."""
    times = max(1, -(-(one_in - 1) * len(bad) // len(good)))
    return st.sampled_from(good * times + bad)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Two of the fields at most: of more, one is a bad one nearly always."""
    pairs = st.sampled_from(sorted(fields)).flatmap(lambda name: st.tuples(st.just(name), fields[name]))
    return st.lists(pairs, max_size=2, unique_by=lambda pair: pair[0]).map(dict)


VOLUMES: Final = mostly(["data", "more"], ["identity", "operator-keys", "bundle", "artifact", "tmp-server", "cache"])
PATHS: Final = mostly(
    ["/data", "/a/b", "/bundles", "/srv"],
    ["/", "/bundle", "/bundle/x", "/identity", "/etc", "/etc/modelward/x", "/tmp", "//data", "/a/../tmp"],
)
SECRETS: Final = mostly(["mine"], ["modelward-cache-key", "modelward-operator-keys"])
VARIABLES: Final = mostly(
    ["A", "OMP_NUM_THREADS", "TZ"],
    ["POD_KEY", "OPERATOR_UNAUTHENTICATED", "MODEL_REVISION", "LD_PRELOAD", "PYTHONPATH", "PORT"],
)
LABELS: Final = st.dictionaries(
    mostly(
        ["team", "app.kubernetes.io/version", "example.com/a"],
        ["modelward.io/revision", "app.kubernetes.io/instance", "app.kubernetes.io/component", "x.modelward.io/y"],
    ),
    st.just("x"), max_size=2,
)  # fmt: skip
SECURITY: Final = some(
    privileged=mostly([False], [True]), allowPrivilegeEscalation=mostly([False], [True]),
    runAsNonRoot=mostly([True], [False]), runAsUser=mostly([1, 65532], [0, 65533]), runAsGroup=mostly([7], [0]),
    readOnlyRootFilesystem=st.booleans(), procMount=mostly(["Default"], ["Unmasked"]),
    seccompProfile=mostly([{"type": "RuntimeDefault"}], [{"type": "Unconfined"}, {}]),
    capabilities=mostly([{"add": ["NET_BIND_SERVICE"]}, {"drop": []}], [{"add": ["SYS_ADMIN"]}]),
)  # fmt: skip
POD_SECURITY: Final = some(
    runAsNonRoot=mostly([True], [False]), runAsUser=mostly([1, 65532], [0, 65533]), fsGroup=mostly([7], [0]),
    seccompProfile=mostly([{"type": "RuntimeDefault"}], [{"type": "Unconfined"}]),
)  # fmt: skip
PROBE: Final = mostly(
    [{"failureThreshold": 90}],
    [{"httpGet": {"port": 1, "host": "h"}}, {"exec": {"command": ["x"]}}, {"httpGet": {"port": 1}}],
)
MOUNTS: Final = st.lists(
    st.builds(
        lambda name, path, rest: {"name": name, "mountPath": path, **rest}, VOLUMES, PATHS,
        st.one_of(st.just({}), some(subPath=mostly([""], ["x"]), mountPropagation=mostly(["None"], ["Bidirectional"]))),
    ),
    max_size=2, unique_by=lambda each: each["mountPath"],
)  # fmt: skip
ENV: Final = st.lists(
    st.builds(lambda name: {"name": name, "value": "x"}, VARIABLES), max_size=2, unique_by=lambda each: each["name"]
)
FURTHER: Final[dict[str, st.SearchStrategy[Any]]] = {
    "command": st.just(["sh"]),
    "args": st.just(["serve"]),
    "securityContext": SECURITY,
    "envFrom": st.lists(st.builds(lambda name: {"secretRef": {"name": name}}, SECRETS), max_size=1),
    "ports": st.lists(
        mostly([{"containerPort": 7}], [{"containerPort": 8080}, {"containerPort": 7, "hostPort": 7}]), max_size=1
    ),
    "livenessProbe": PROBE,
    "lifecycle": st.builds(lambda probe: {"preStop": probe}, PROBE),
    "resources": mostly([{"limits": {"memory": "1Gi"}}], [{"limits": {"nvidia.com/gpu": 1}}]),
    "restartPolicy": mostly(["Always"], ["Never"]),
}
SERVER: Final = some(image=st.just("own:1"), env=ENV, volumeMounts=MOUNTS, startupProbe=PROBE)


def named(name: st.SearchStrategy[str], *fields: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.builds(
        lambda name, *rest: {key: each[key] for each in rest for key in each} | {"name": name}, name, *fields
    )


SIDECAR: Final = named(
    mostly(["proxy", "agent", "audit"], ["server", "monitor", "download", "envoy"]),
    st.just({"image": "i:1"}), some(env=ENV, volumeMounts=MOUNTS), some(**FURTHER),
)  # fmt: skip
OURS: Final = named(st.just("server"), SERVER)
STEP: Final = named(st.just("compile"), some(resources=FURTHER["resources"]))
OVERDONE: Final = st.one_of(
    named(st.just("server"), SERVER, some(**FURTHER)), named(st.just("download"), some(**FURTHER))
)
CONTAINERS: Final = mostly([SIDECAR, OURS], [OVERDONE, STEP]).flatmap(lambda chosen: chosen)
STEPS: Final = mostly([SIDECAR, STEP], [OVERDONE, OURS]).flatmap(lambda chosen: chosen)


KINDS: Final = st.one_of(
    mostly(
        [{"emptyDir": {}}, {"persistentVolumeClaim": {"claimName": "data"}}],
        [
            {},
            {"hostPath": {"path": "/"}},
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {"csi": {}},
        ],
    ),
    st.builds(lambda name: {"secret": {"secretName": name}}, SECRETS),
    st.builds(lambda name: {"projected": {"sources": [{"secret": {"name": name}}]}}, SECRETS),
)


@st.composite
def templates(draw: st.DrawFn) -> Json:
    volumes = [{"name": name, **draw(KINDS)} for name in ("data", "more")]
    if draw(mostly([False], [True])):
        volumes.append({"name": draw(VOLUMES), **draw(KINDS)})
    spec = draw(
        some(
            securityContext=POD_SECURITY, hostNetwork=mostly([False], [True]), hostPID=mostly([False], [True]),
            shareProcessNamespace=mostly([False], [True]), automountServiceAccountToken=mostly([False], [True]),
            serviceAccountName=mostly([""], ["admin"]), nodeName=mostly([""], ["n"]), priorityClassName=st.just("high"),
        )
    )  # fmt: skip
    if len({each["name"] for each in volumes}) < len(volumes):
        volumes.pop()
    spec |= {
        group: draw(st.lists(one, max_size=2, unique_by=lambda each: each["name"]))
        for group, one in (("containers", CONTAINERS), ("initContainers", STEPS))
    }
    given = draw(st.sampled_from([{"volumes": volumes}] * 9 + [{}]))
    return draw(some(metadata=some(labels=LABELS, annotations=LABELS))) | {"spec": spec | given}


TEMPLATE: Final = templates()


def everyone(pod: Json) -> Iterator[Json]:
    yield from (*pod["containers"], *pod.get("initContainers", ()))


def judge(made: Json, without: Json) -> None:
    """`without`: as it would be if nobody had said anything."""
    pod, before = made["spec"], without["spec"]
    assert baseline.problem_of({"spec": {"template": made}}) is None
    assert pod["automountServiceAccountToken"] is False
    assert pod.get("serviceAccountName") == before.get("serviceAccountName")
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "nodeName"} & {
        field for field in pod if pod[field]
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    names = [each["name"] for each in everyone(pod)]
    assert len(names) == len(set(names))
    volumes = [each["name"] for each in pod["volumes"]]
    assert len(volumes) == len(set(volumes))
    assert "serviceAccountToken" not in repr(pod["volumes"])
    assert "modelward-cache-key" not in repr(made)
    assert {**made["metadata"]["labels"], **without["metadata"]["labels"]} == made["metadata"]["labels"]
    assert "x.modelward.io/y" not in made["metadata"]["labels"]
    ours, own = {each["name"]: each for each in everyone(before)}, {each["name"] for each in before["volumes"]}
    assert ours.keys() <= set(names)
    for each in everyone(pod):
        security = each["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"]["drop"] == ["ALL"]
        mounts = {mount["mountPath"]: mount["name"] for mount in each.get("volumeMounts", ())}
        assert len(mounts) == len(each.get("volumeMounts", ()))
        if each["name"] not in ours:
            assert not own & set(mounts.values())
            continue
        same = ours[each["name"]]
        assert not {"LD_PRELOAD", "PYTHONPATH", "OPERATOR_UNAUTHENTICATED"} & {one["name"] for one in each["env"]}
        assert each["env"][: len(same["env"])] == same["env"]
        assert len({variable["name"] for variable in each["env"]}) == len(each["env"])
        assert each["volumeMounts"][: len(same["volumeMounts"])] == same["volumeMounts"]
        for field in ("command", "args", "ports", "securityContext", "readinessProbe", "livenessProbe", "lifecycle"):
            assert each.get(field) == same.get(field)
        for resource in each["resources"].get("limits", {}):
            assert "/" not in resource
        assert (each.get("startupProbe") or {}).get("httpGet") == (same.get("startupProbe") or {}).get("httpGet")


@settings(max_examples=500, deadline=None)
@given(TEMPLATE)
def test_a_template_is_refused_or_takes_nothing_away(template: Json) -> None:
    asked = {"model": {"uri": "s3://models/a.onnx"}, "monitor": {}, "template": template}
    try:
        parse_pods(asked)
    except InvalidObjectError:
        return
    spec: dict[str, Any] = {"monitor": Monitor()}
    judge(
        revision.shape(owner(**spec, template=template), PLATFORM, "fraud-a").template,
        revision.shape(owner(**spec), PLATFORM, "fraud-a").template,
    )


@settings(max_examples=150, deadline=None)
@given(TEMPLATE)
def test_nor_does_one_of_the_router(template: Json) -> None:
    try:
        found: Spec = parse_pods({"model": {"uri": "s3://models/a.onnx"}, "router": {"template": template}})
    except InvalidObjectError:
        return
    made = router.template_of(owner(router=Router(template=found.router.template)), PLATFORM)
    without = router.template_of(owner(), PLATFORM)
    assert made["spec"]["containers"] == without["spec"]["containers"]
    assert made["spec"]["volumes"] == without["spec"]["volumes"]
    assert "initContainers" not in made["spec"]
    assert made["spec"]["securityContext"]["runAsNonRoot"] is True
    assert made["spec"]["automountServiceAccountToken"] is False
    assert {**made["metadata"]["labels"], **without["metadata"]["labels"]} == made["metadata"]["labels"]
