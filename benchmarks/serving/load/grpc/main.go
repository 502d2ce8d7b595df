// Load on one unary gRPC method: every client has a connection of its own and sends the same bytes again and again.
// Messages stay bytes, so that the client's own work is small. Prints one JSON object; -once prints the answer instead.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const method = "/inference.GRPCInferenceService/ModelInfer"

// How long one call may take.
const patience = 10 * time.Second

type raw struct{}

func (raw) Name() string                       { return "proto" }
func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = append([]byte(nil), data...); return nil }

type report struct {
	Requests   int     `json:"requests"`
	Seconds    float64 `json:"seconds"`
	P50        float64 `json:"p50"`
	P99        float64 `json:"p99"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"first_error"`
}

func main() {
	address := flag.String("address", "", "host:port")
	file := flag.String("body", "", "file with the request message")
	clients := flag.Int("clients", 1, "clients at a time")
	duration := flag.Duration("duration", time.Second, "how long to send")
	once := flag.Bool("once", false, "send one request and print the bytes of the answer")
	flag.Parse()
	body, err := os.ReadFile(*file)
	stopOn(err)
	connections := make([]*grpc.ClientConn, *clients)
	for i := range connections {
		connections[i], err = grpc.NewClient("passthrough:///"+*address,
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(64<<20)))
		stopOn(err)
	}
	if *once {
		answer, err := call(connections[0], body)
		stopOn(err)
		_, err = os.Stdout.Write(answer)
		stopOn(err)
		return
	}
	// A connection is made by its first call, which is not counted.
	for _, connection := range connections {
		_, err := call(connection, body)
		stopOn(err)
	}
	stopOn(json.NewEncoder(os.Stdout).Encode(measure(connections, body, *duration)))
}

func measure(connections []*grpc.ClientConn, body []byte, duration time.Duration) report {
	var result report
	var lock sync.Mutex
	var all []time.Duration
	var group sync.WaitGroup
	began := time.Now()
	end := began.Add(duration)
	for _, connection := range connections {
		group.Add(1)
		go func() {
			defer group.Done()
			var mine []time.Duration
			errors, first := 0, ""
			for sent := time.Now(); sent.Before(end); sent = time.Now() {
				if _, err := call(connection, body); err != nil {
					errors, first = errors+1, err.Error()
					break
				}
				mine = append(mine, time.Since(sent))
			}
			lock.Lock()
			defer lock.Unlock()
			all = append(all, mine...)
			result.Errors += errors
			if first != "" {
				result.FirstError = first
			}
		}()
	}
	group.Wait()
	result.Seconds = time.Since(began).Seconds()
	result.Requests = len(all)
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	if len(all) > 0 {
		result.P50 = all[len(all)/2].Seconds()
		result.P99 = all[len(all)*99/100].Seconds()
	}
	return result
}

func call(connection *grpc.ClientConn, body []byte) ([]byte, error) {
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var answer []byte
	err := connection.Invoke(limited, method, &body, &answer)
	return answer, err
}

func stopOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
