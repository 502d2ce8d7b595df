// A step of a shared library: has a ModelDeployment serve a version, waits for its rollout, shows the evidence.
//
//   modelwardDeploy(model: 'fraud', uri: 'models:/fraud/8', namespace: 'ml', kubeconfig: 'ml-kubeconfig')
//
// kubeconfig: the id of a credential of the kind "Secret file"; left out, kubectl's own is used. More: digest, timeout
// (seconds), whenPaused ('fail' or 'wait'), takeOver (true or false). The agent needs bash, kubectl, Python 3.11 and
// modelward_cli (pip install ./integrations/cli). The build fails where the version is not promoted.
def call(Map given) {
    List known = ['model', 'uri', 'digest', 'namespace', 'kubeconfig', 'timeout', 'whenPaused', 'takeOver']
    List unknown = given.keySet().findAll { String each -> !known.contains(each) } as List
    if (unknown || !given.model || !given.uri) {
        error("modelwardDeploy takes model and uri, and may take ${known.drop(2).join(', ')}; given were ${given.keySet().join(', ')}")
    }
    // As variables of the environment: what stands in them is never a part of a script.
    List asked = [
        "MODEL=${given.model}", "URI=${given.uri}", "DIGEST=${given.digest ?: ''}", "NAMESPACE=${given.namespace ?: ''}",
        "TIMEOUT=${given.timeout ?: 3600}", "WHEN_PAUSED=${given.whenPaused ?: 'fail'}",
        "TAKE_OVER=${given.takeOver ? 'true' : 'false'}",
    ]
    writeFile(file: '.modelward-deploy.sh', text: libraryResource('modelward/deploy.sh'))
    withEnv(asked) {
        if (given.kubeconfig) {
            withCredentials([file(credentialsId: given.kubeconfig, variable: 'KUBECONFIG')]) {
                sh 'bash .modelward-deploy.sh'
            }
        } else {
            sh 'bash .modelward-deploy.sh'
        }
    }
}
