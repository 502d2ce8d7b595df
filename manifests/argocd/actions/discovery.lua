-- Which actions make sense now. A candidate is a revision that a rollout is trying; it stays in status when it has failed,
-- and a person may promote it nevertheless.
local status = obj.status or {}
local stalled = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Stalled" and condition.status == "True" then
    stalled = condition
  end
end
local given_up = stalled.reason == "RolledBack" or stalled.reason == "Aborted"
local tried = status.candidate ~= nil
local running = tried and not given_up
local paused = status.rollout ~= nil and status.rollout.phase == "Paused"

return {
  promote = {disabled = not tried},
  pause = {disabled = paused or not running},
  resume = {disabled = not paused},
  abort = {disabled = not running},
  retry = {disabled = not given_up},
}
