package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/options"
	utilcompatibility "k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/metrics-server/pkg/api"
	"sigs.k8s.io/metrics-server/pkg/api/generated/openapi"
	"sigs.k8s.io/metrics-server/pkg/scraper/client"
	"sigs.k8s.io/metrics-server/pkg/server"
)

// metricsServer is metrics-server: its own scraper, storage and API. The version that wants no newer libraries than this
// Kubernetes was written for an older k8s.io/apiserver, so what reads its command line does not compile, and stands here.
type metricsServer struct {
	kubeconfig     string
	resolution     time.Duration
	timeout        time.Duration
	serving        *options.SecureServingOptionsWithLoopback
	authentication *options.DelegatingAuthenticationOptions
	authorization  *options.DelegatingAuthorizationOptions
}

func newMetricsServerCommand() *cobra.Command {
	one := &metricsServer{
		serving:        options.NewSecureServingOptions().WithLoopback(),
		authentication: options.NewDelegatingAuthenticationOptions(),
		authorization:  options.NewDelegatingAuthorizationOptions(),
	}
	command := &cobra.Command{
		Use:          "metrics-server",
		Short:        "Measure what pods and nodes use of CPU and memory",
		SilenceUsage: true,
		RunE:         func(*cobra.Command, []string) error { return one.run() },
	}
	flags := command.Flags()
	flags.StringVar(&one.kubeconfig, "kubeconfig", "", "the file by which the API server and the kubelets are asked")
	flags.DurationVar(&one.resolution, "metric-resolution", time.Minute, "between two looks at the kubelets, at least 10s")
	flags.DurationVar(&one.timeout, "kubelet-request-timeout", 8*time.Second, "how long a kubelet may take to answer")
	one.serving.AddFlags(flags)
	one.authentication.AddFlags(flags)
	one.authorization.AddFlags(flags)
	return command
}

func (one *metricsServer) run() error {
	if one.resolution < 10*time.Second || one.timeout > one.resolution*9/10 {
		return errors.New("--metric-resolution has to be at least 10s, and --kubelet-request-timeout nine tenths of it at most")
	}
	kubernetes, err := clientcmd.BuildConfigFromFlags("", one.kubeconfig)
	if err != nil {
		return fmt.Errorf("--kubeconfig: %w", err)
	}
	kubernetes.ContentType = "application/vnd.kubernetes.protobuf"
	if err := rest.SetKubernetesDefaults(kubernetes); err != nil {
		return err
	}
	apiServer, err := one.apiServer()
	if err != nil {
		return err
	}
	config := server.Config{
		Apiserver:        apiServer,
		Rest:             kubernetes,
		Kubelet:          kubelets(kubernetes),
		MetricResolution: one.resolution,
		ScrapeTimeout:    one.timeout,
	}
	running, err := config.Complete()
	if err != nil {
		return err
	}
	return running.RunUntil(genericapiserver.SetupSignalHandler())
}

// kubelets says how they are reached: they sign their serving certificates themselves, and node names are in no DNS.
func kubelets(kubernetes *rest.Config) *client.KubeletClientConfig {
	config := &client.KubeletClientConfig{
		Scheme:              "https",
		UseNodeStatusPort:   true,
		AddressTypePriority: []corev1.NodeAddressType{corev1.NodeInternalIP},
		Client:              *rest.CopyConfig(kubernetes),
	}
	config.Client.TLSClientConfig.Insecure = true
	config.Client.TLSClientConfig.CAData = nil
	config.Client.TLSClientConfig.CAFile = ""
	return config
}

func (one *metricsServer) apiServer() (*genericapiserver.Config, error) {
	if err := one.serving.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, err
	}
	config := genericapiserver.NewConfig(api.Codecs)
	if err := one.serving.ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return nil, err
	}
	if err := one.authentication.ApplyTo(&config.Authentication, config.SecureServing, nil); err != nil {
		return nil, err
	}
	if err := one.authorization.ApplyTo(&config.Authorization); err != nil {
		return nil, err
	}
	config.EffectiveVersion = utilcompatibility.DefaultBuildEffectiveVersion()
	namer := openapinamer.NewDefinitionNamer(api.Scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(openapi.GetOpenAPIDefinitions, namer)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(openapi.GetOpenAPIDefinitions, namer)
	config.OpenAPIConfig.Info.Title, config.OpenAPIV3Config.Info.Title = "metrics-server", "metrics-server"
	return config, nil
}
