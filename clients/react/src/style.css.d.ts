// So that TypeScript takes `import "kline-gateway-react/style.css"`.
export {};
