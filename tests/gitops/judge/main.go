// What Argo CD and Flux make of an object: health and actions by the Lua engine of the one, status by the kstatus library
// of the other.
//
// Reads {"ask": "health" | "actions" | "action" | "kstatus", "script": …, "object": …} from stdin and writes the answer as
// JSON. Ends with exit code 1 and a sentence on stderr where the tool itself would refuse.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type question struct {
	Ask    string                    `json:"ask"`
	Script string                    `json:"script"`
	Object unstructured.Unstructured `json:"object"`
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fail(fmt.Errorf("the question is unreadable: %w", err))
	}
	answer, err := judge(asked)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fail(err)
	}
}

func judge(asked question) (any, error) {
	object := asked.Object.Object
	switch asked.Ask {
	case "health":
		return health(asked.Script, object)
	case "actions":
		return runLua(asked.Script, object)
	case "action":
		changed, err := runLua(asked.Script, object)
		return restoreEmptyMaps(changed, object), err
	case "kstatus":
		found, err := status.Compute(&asked.Object)
		if err != nil {
			return nil, err
		}
		return map[string]string{"status": found.Status.String(), "message": found.Message}, nil
	}
	return nil, fmt.Errorf("%q is no question", asked.Ask)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
