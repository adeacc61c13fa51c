// The service as Go people write it: a goroutine for each fetch, one client with kept
// connections, and bodies either validated and passed on as they are, or parsed and written again.
//
//	fanout PORT SETTINGS.json
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

type settings struct {
	Upstreams ordered `json:"upstreams"`
	TimeoutMs int     `json:"timeout_ms"`
	MayFail   bool    `json:"may_fail"`
	Parse     bool    `json:"parse"`
}

type upstream struct{ name, url string }

// A JSON object of strings whose order counts.
type ordered []upstream

func (o *ordered) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var url string
		if err := decoder.Decode(&url); err != nil {
			return err
		}
		*o = append(*o, upstream{name.(string), url})
	}
	return nil
}

type failure struct {
	ID      string `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

type result struct {
	status  int
	elapsed time.Duration
	body    []byte
	failure *failure
}

type service struct {
	settings
	client *http.Client
}

func (s *service) get(ctx context.Context, url string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	// Its length is known, so that one allocation will do.
	body := bytes.NewBuffer(make([]byte, 0, max(response.ContentLength, 0)+bytes.MinRead))
	if _, err = body.ReadFrom(response.Body); err != nil {
		return 0, nil, err
	}
	text, err := s.checked(body.Bytes())
	return response.StatusCode, text, err
}

func (s *service) checked(body []byte) ([]byte, error) {
	if s.Parse {
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			return nil, err
		}
		return json.Marshal(value)
	}
	if !json.Valid(body) {
		return nil, fmt.Errorf("invalid JSON")
	}
	return body, nil
}

func max(a, b int64) int64 {
	if a > b {
		return a
	}
	return b
}

func (s *service) fetch(ctx context.Context, one upstream, into *result) {
	start := time.Now()
	status, body, err := s.get(ctx, one.url)
	*into = result{status: status, body: body, elapsed: time.Since(start)}
	switch {
	case err != nil:
		into.failure = &failure{one.name, "failed", err.Error()}
	case status < 200 || status > 299:
		into.failure = &failure{one.name, "http_status", http.StatusText(status)}
	}
}

func (s *service) fetchAll(ctx context.Context) []result {
	results := make([]result, len(s.Upstreams))
	var group sync.WaitGroup
	group.Add(len(results))
	for i := range results {
		go func(i int) {
			defer group.Done()
			s.fetch(ctx, s.Upstreams[i], &results[i])
		}(i)
	}
	group.Wait()
	return results
}

func failures(results []result) []*failure {
	found := []*failure{}
	for i := range results {
		if results[i].failure != nil {
			found = append(found, results[i].failure)
		}
	}
	return found
}

func milliseconds(elapsed time.Duration) float64 {
	return float64(elapsed.Microseconds()) / 1000
}

func writeResult(answer *bytes.Buffer, name string, one *result) {
	fmt.Fprintf(answer, `{"id":%q,"ok":%t,"status":`, name, one.failure == nil)
	if one.status == 0 {
		answer.WriteString("null")
	} else {
		answer.WriteString(strconv.Itoa(one.status))
	}
	fmt.Fprintf(answer, `,"elapsed_ms":%.1f,"body":`, milliseconds(one.elapsed))
	if one.body == nil {
		answer.WriteString("null")
	} else {
		answer.Write(one.body)
	}
	answer.WriteByte('}')
}

func (s *service) document(results []result, failed []*failure, elapsed time.Duration) []byte {
	length := 200
	for i := range results {
		length += len(results[i].body) + 200
	}
	status := "ok"
	if len(failed) > 0 {
		status = "partial"
	}
	answer := bytes.NewBuffer(make([]byte, 0, length))
	fmt.Fprintf(answer, `{"status":%q,"elapsed_ms":%.1f,"results":[`, status, milliseconds(elapsed))
	for i := range results {
		if i > 0 {
			answer.WriteByte(',')
		}
		writeResult(answer, s.Upstreams[i].name, &results[i])
	}
	answer.WriteString(`],"errors":`)
	text, _ := json.Marshal(failed) // strings alone: it can't fail
	answer.Write(text)
	answer.WriteByte('}')
	return answer.Bytes()
}

func (s *service) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	start := time.Now()
	timeout := time.Duration(s.TimeoutMs) * time.Millisecond
	ctx, cancel := context.WithTimeout(request.Context(), timeout)
	defer cancel()
	results := s.fetchAll(ctx)
	failed := failures(results)
	text := s.document(results, failed, time.Since(start))
	header := writer.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	header.Set("X-Fanout-Complete", strconv.FormatBool(len(failed) == 0))
	if len(failed) > 0 && !s.MayFail {
		writer.WriteHeader(http.StatusBadGateway)
	}
	_, _ = writer.Write(text)
}

func main() {
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	s := &service{client: &http.Client{Transport: &http.Transport{
		MaxIdleConns:        0, // no limit
		MaxIdleConnsPerHost: 16384,
		DisableCompression:  true,
	}}}
	if err := json.Unmarshal(text, &s.settings); err != nil {
		log.Fatal(err)
	}
	http.Handle("/fetch-multiple", s)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
