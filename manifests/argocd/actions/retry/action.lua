obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["modelward.io/rollout"] = "retry"
return obj
