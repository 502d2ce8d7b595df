-- The health of a ModelDeployment, a DriftPolicy, a ModelRegistry, a RetrainingRun or a BatchInference, from the conditions that every status
-- of theirs holds.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready or {}
local stalled = conditions.Stalled or {}
local rollout = status.rollout or {}

if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "Being deleted"}
end
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "Waiting for the operator to see the newest spec"}
end
if stalled.status == "True" then
  return {status = "Degraded", message = stalled.message}
end
if rollout.phase == "Paused" then
  return {status = "Suspended", message = rollout.message or "The rollout is paused"}
end
if (obj.spec or {}).suspend == true then
  return {status = "Suspended", message = "spec.suspend is true: no retraining run starts"}
end
-- Also while Reconciling: taking the old revision away is work left to do, but the model that spec asks for answers.
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
return {status = "Progressing", message = ready.message or "Waiting for the operator's first conditions"}
