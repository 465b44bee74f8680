package packaged

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// manifest is one file of packaging/kubernetes, decoded.
type manifest struct {
	secrets     map[string]core.Secret
	configs     map[string]core.ConfigMap
	claims      map[string]core.PersistentVolumeClaimSpec
	services    []core.Service
	deployments []apps.Deployment
	sets        []apps.StatefulSet

	// Of whatever runs the gateway.
	selector *meta.LabelSelector
	replicas *int32
	template core.PodTemplateSpec
	gateway  core.Container
}

// manifests decodes every file. A field that Kubernetes does not know, or one
// that is written twice, is an error.
func manifests(t *testing.T) map[string]*manifest {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "packaging/kubernetes/*.yaml"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%d manifests, want 2: %v", len(files), err)
	}
	all := make(map[string]*manifest)
	for _, file := range files {
		name := filepath.Base(file)
		m := &manifest{
			secrets: make(map[string]core.Secret),
			configs: make(map[string]core.ConfigMap),
			claims:  make(map[string]core.PersistentVolumeClaimSpec),
		}
		for document := range strings.SplitSeq(read(t, "packaging/kubernetes/"+name), "\n---\n") {
			m.add(t, document+"\n")
		}
		m.resolve(t)
		all[name] = m
	}
	return all
}

func (m *manifest) add(t *testing.T, document string) {
	t.Helper()
	var kind meta.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
		t.Fatal(err)
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 Secret":
		o := strictly[core.Secret](t, document)
		m.secrets[o.Name] = o
	case "v1 ConfigMap":
		o := strictly[core.ConfigMap](t, document)
		m.configs[o.Name] = o
	case "v1 PersistentVolumeClaim":
		o := strictly[core.PersistentVolumeClaim](t, document)
		m.claims[o.Name] = o.Spec
	case "v1 Service":
		m.services = append(m.services, strictly[core.Service](t, document))
	case "apps/v1 Deployment":
		m.deployments = append(m.deployments, strictly[apps.Deployment](t, document))
	case "apps/v1 StatefulSet":
		m.sets = append(m.sets, strictly[apps.StatefulSet](t, document))
	default:
		t.Fatalf("what is %q?", kind)
	}
}

func strictly[T any](t *testing.T, document string) (object T) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
		t.Fatal(err)
	}
	return object
}

// resolve finds the pod that the gateway runs in.
func (m *manifest) resolve(t *testing.T) {
	t.Helper()
	for _, d := range m.deployments {
		m.selector, m.replicas, m.template = d.Spec.Selector, d.Spec.Replicas, d.Spec.Template
	}
	for _, s := range m.sets {
		m.selector, m.replicas, m.template = s.Spec.Selector, s.Spec.Replicas, s.Spec.Template
		for _, c := range s.Spec.VolumeClaimTemplates {
			m.claims[c.Name] = c.Spec
		}
	}
	for _, c := range m.template.Spec.Containers {
		if c.Name == "gateway" {
			m.gateway = c
		}
	}
	if len(m.deployments)+len(m.sets) != 1 || m.gateway.Name == "" {
		t.Fatal("want one Deployment or StatefulSet, and a container gateway in it")
	}
}

// each runs a test over every manifest.
func each(t *testing.T, test func(t *testing.T, m *manifest)) {
	t.Helper()
	for name, m := range manifests(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, m)
		})
	}
}

func TestOnlyOneGatewayOpensTheStore(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, m *manifest) {
		if m.replicas == nil || *m.replicas != 1 {
			t.Errorf("replicas: %v, want 1", m.replicas)
		}
		for _, d := range m.deployments {
			if d.Spec.Strategy.Type != apps.RecreateDeploymentStrategyType {
				t.Errorf("strategy %q starts a second gateway before the first has ended", d.Spec.Strategy.Type)
			}
		}
		for name, c := range m.claims {
			if !slices.Equal(c.AccessModes, []core.PersistentVolumeAccessMode{core.ReadWriteOnce}) {
				t.Errorf("claim %s: %v", name, c.AccessModes)
			}
		}
	})
}

func TestTheGatewayInAPodMayDoNothingBesidesItsWork(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, m *manifest) {
		pod, own := m.template.Spec.SecurityContext, m.gateway.SecurityContext
		if pod == nil || own == nil || own.Capabilities == nil {
			t.Fatal("pod and container need a securityContext")
		}
		user, nonRoot := own.RunAsUser, own.RunAsNonRoot
		if user == nil {
			user, nonRoot = pod.RunAsUser, pod.RunAsNonRoot
		}
		if user == nil || *user != 65532 || nonRoot == nil || !*nonRoot {
			t.Error("it does not run as the image's user")
		}
		if pod.FSGroup == nil || *pod.FSGroup != 65532 {
			t.Error("the volume is not given to the image's group")
		}
		if pod.SeccompProfile == nil || pod.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
			t.Error("no seccomp profile")
		}
		if own.ReadOnlyRootFilesystem == nil || !*own.ReadOnlyRootFilesystem {
			t.Error("its root file system can be written")
		}
		if own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation {
			t.Error("it can gain privileges")
		}
		if !slices.Equal(own.Capabilities.Drop, []core.Capability{"ALL"}) || own.Capabilities.Add != nil {
			t.Errorf("capabilities: %v", own.Capabilities)
		}
		if token := m.template.Spec.AutomountServiceAccountToken; token == nil || *token {
			t.Error("it gets a token for the cluster's API")
		}
	})
}

// mounted gives the volume that a path lies on.
func (m *manifest) mounted(path string) (core.Volume, *core.VolumeMount) {
	for _, mount := range m.gateway.VolumeMounts {
		if !below(path, mount.MountPath) {
			continue
		}
		for _, v := range m.template.Spec.Volumes {
			if v.Name == mount.Name {
				return v, &mount
			}
		}
		// A claim of a StatefulSet is a volume of that name.
		if _, found := m.claims[mount.Name]; found {
			claim := &core.PersistentVolumeClaimVolumeSource{ClaimName: mount.Name}
			return core.Volume{Name: mount.Name, VolumeSource: core.VolumeSource{PersistentVolumeClaim: claim}}, &mount
		}
	}
	return core.Volume{}, nil
}

// A directory of secrets or of configuration that can be written is a way to stay.
func TestTheGatewayCanWriteToItsClaimAlone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, m *manifest) {
		for _, mount := range m.gateway.VolumeMounts {
			v, _ := m.mounted(mount.MountPath)
			if claim := v.PersistentVolumeClaim != nil; mount.ReadOnly == claim {
				t.Errorf("%s is read only: %v", mount.MountPath, mount.ReadOnly)
			}
		}
		for _, v := range m.template.Spec.Volumes {
			if v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o440) {
				t.Errorf("the files of the Secret %s can be read by all", v.Name)
			}
		}
	})
}

func TestThePodKeepsEventsOnItsClaim(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, m *manifest) {
		for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
			i := slices.IndexFunc(m.gateway.Env, func(e core.EnvVar) bool { return e.Name == name })
			if i < 0 {
				t.Fatalf("%s is not set", name)
			}
			v, mount := m.mounted(m.gateway.Env[i].Value)
			if mount == nil || v.PersistentVolumeClaim == nil || mount.ReadOnly {
				t.Fatalf("%s lies on no claim", name)
			}
			if _, found := m.claims[v.PersistentVolumeClaim.ClaimName]; !found {
				t.Errorf("there is no claim %s", v.PersistentVolumeClaim.ClaimName)
			}
		}
		if path := adapt(t, m.caddyfile(t)).Apps.Webhooks.Store.Path; path != "" {
			t.Errorf("the Caddyfile stores in %s, whatever XDG_DATA_HOME says", path)
		}
	})
}

// caddyfile follows the gateway's arguments to the ConfigMap's text.
func (m *manifest) caddyfile(t *testing.T) string {
	t.Helper()
	path := m.gateway.Args[len(m.gateway.Args)-1]
	v, mount := m.mounted(path)
	if mount == nil || v.ConfigMap == nil {
		t.Fatalf("%s lies on no ConfigMap", path)
	}
	text, found := m.configs[v.ConfigMap.Name].Data[strings.TrimPrefix(path, mount.MountPath+"/")]
	if !found {
		t.Fatalf("ConfigMap %s has nothing for %s", v.ConfigMap.Name, path)
	}
	return text
}

func TestTheCaddyfileOfAManifestLoadsOnceTheSecretIsFilledIn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, m *manifest) {
		text := m.caddyfile(t)
		_, rest, found := strings.Cut(text, "{file.")
		path, _, _ := strings.Cut(rest, "}")
		v, mount := m.mounted(path)
		if !found || mount == nil || v.Secret == nil {
			t.Fatalf("the secret's file %q lies on no Secret", path)
		}
		value, found := m.secrets[v.Secret.SecretName].StringData[strings.TrimPrefix(path, mount.MountPath+"/")]
		if !found || value != "" {
			t.Fatalf("Secret %s should have an empty value for %s, has %q", v.Secret.SecretName, path, value)
		}
		for value, loads := range map[string]bool{value: false, "whsec_1": true} {
			secret := write(t, "stripe", value)
			if err := validate(t, strings.ReplaceAll(text, path, secret)); (err == nil) != loads {
				t.Errorf("with the secret %q: %v", value, err)
			}
		}
	})
}

func TestThePodHasTimeToStop(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, m *manifest) {
		grace := adapt(t, m.caddyfile(t)).Apps.HTTP.GracePeriod
		if grace <= 0 {
			t.Error("no grace_period: an exit can last for ever")
		}
		seconds := m.template.Spec.TerminationGracePeriodSeconds
		if has := time.Duration(*seconds) * time.Second; has < grace+stopping {
			t.Errorf("it is killed after %v, an exit takes up to %v", has, grace+stopping)
		}
	})
}

func TestTheServiceLeadsToTheGateway(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, m *manifest) {
		pod := labels.Set(m.template.Labels)
		owner, err := meta.LabelSelectorAsSelector(m.selector)
		if err != nil || owner.Empty() || !owner.Matches(pod) {
			t.Errorf("the selector misses the pod: %v", err)
		}
		if len(m.services) != 1 || !labels.SelectorFromSet(m.services[0].Spec.Selector).Matches(pod) {
			t.Fatal("want one Service that selects the pod")
		}
		for _, s := range m.sets {
			if s.Spec.ServiceName != m.services[0].Name {
				t.Errorf("serviceName %q is no Service", s.Spec.ServiceName)
			}
		}
		target := m.services[0].Spec.Ports[0].TargetPort.StrVal
		i := slices.IndexFunc(m.gateway.Ports, func(p core.ContainerPort) bool { return p.Name == target })
		if i < 0 || m.gateway.Ports[i].ContainerPort != 8080 || !strings.Contains(m.caddyfile(t), "\n:8080 {\n") {
			t.Errorf("port %q of the gateway is not where the Caddyfile listens", target)
		}
	})
}
