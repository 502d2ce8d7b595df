"""What a policy remembers of its targets, a ConfigMap each: read from the cache, written where it has changed."""

from modelward.api.driftpolicy import DriftPolicy
from modelward.kube.cache import Cache, Key
from modelward.kube.client import Api
from modelward.kube.resources import CONFIG_MAPS, DRIFT_POLICIES
from modelward.retraining.persistence.legacy import legacy_memory, legacy_targets
from modelward.retraining.persistence.memory import DATA, is_fresh, load_memory, memory_manifest, memory_name
from modelward.retraining.target import Memory
from modelward.revisions.observed.ownership import belongs_to


class Memories:
    """Reads the cache alone; what it writes is in the cache at once."""

    def __init__(self, api: Api, cache: Cache) -> None:
        self._api = api
        self._cache = cache

    def of_policy(self, policy: DriftPolicy) -> dict[str, Memory]:
        """By the uid of the target. Of what has none, what an operator of an earlier version left in status."""
        fresh = is_fresh(policy)
        found = {}
        for entry in legacy_targets(policy):
            memory = legacy_memory(entry, forgiven=fresh)
            if memory is not None:
                found[memory.uid] = memory
        for body in self._cache.children(Key(policy.namespace, policy.name, DRIFT_POLICIES.kind), CONFIG_MAPS):
            memory = load_memory(body, forgiven=fresh) if belongs_to(body, policy) else None
            if memory is not None:
                found[memory.uid] = memory
        return found

    async def write(self, policy: DriftPolicy, memory: Memory) -> str | None:
        """Where it is not what is stored. Returns the name of the ConfigMap where what it held could not be read."""
        manifest = memory_manifest(policy, memory)
        stored = self._cache.get(CONFIG_MAPS, policy.namespace, manifest["metadata"]["name"])
        if stored is None or (stored.get("data") or {}).get(DATA) != manifest["data"][DATA]:
            applied = await self._api.apply(CONFIG_MAPS, manifest)
            self._cache.upsert_answer(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", **applied})
        lost = stored is not None and belongs_to(stored, policy) and load_memory(stored, forgiven=False) is None
        return manifest["metadata"]["name"] if lost else None

    async def forget(self, policy: DriftPolicy, target_uid: str) -> None:
        """The target is none any more."""
        name = memory_name(policy, target_uid)
        stored = self._cache.get(CONFIG_MAPS, policy.namespace, name)
        if stored is not None and belongs_to(stored, policy):
            await self._api.delete(CONFIG_MAPS, policy.namespace, name, stored["metadata"]["uid"])
            self._cache.remove(CONFIG_MAPS, stored, final=True)
